"""What turns a Program into a better one; one file for each pass, in the order of ``pipeline``."""
