"""Passes that move work along the time axis: out of a loop, or before or behind it."""
