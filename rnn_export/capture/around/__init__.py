"""A model around recurrences: each is what it is by itself, and the rest is traced with free sizes."""
