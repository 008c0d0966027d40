"""The text of ``model.c`` and ``model.h``."""
