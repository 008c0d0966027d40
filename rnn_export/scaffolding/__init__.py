"""A program in another language to start from."""
