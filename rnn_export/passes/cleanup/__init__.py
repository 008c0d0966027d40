"""Passes that make a graph simpler and leave its loops as they are."""
