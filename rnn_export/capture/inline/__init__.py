"""Loops that stand one after another in one ``forward``: each becomes a submodule of a model around them."""
