"""A Program as plain C: no dependencies, no allocation, any number of rows and time steps.

``trace`` finds what a row computes at a time step, ``merge`` makes few large products of many, ``schedule``
decides what runs when, and ``emit`` and ``source`` write it; ``kernels.c`` holds the arithmetic.
"""

from rnn_export.backends.c.model import WEIGHTS, Files, compile_program

__all__ = ["WEIGHTS", "Files", "compile_program"]
