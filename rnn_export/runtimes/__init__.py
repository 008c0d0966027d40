"""What runs the files of a bundle: one file for each runtime, one line in ``table``."""
