"""Numbers as C writes them."""

from math import copysign

import numpy as np

from rnn_export.backends.c.trace.elementwise import BOOL, FLOAT, INT

PLACE = "int"  # the type of places in an array
EIGHTH, HALF = "int8_t", "uint16_t"  # those of smaller weights: whole numbers, and the upper bits of floats
WORD = "uint32_t"  # several of them


def literal(value: float) -> str:
    """Write a float as C does, as short as it reads back the same."""
    text = str(np.float32(value))
    if text in ("nan", "inf", "-inf"):
        return {"nan": '__builtin_nanf("")', "inf": "__builtin_inff()", "-inf": "-__builtin_inff()"}[text]
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"


def integer(value: int) -> str:
    """Write an integer of 64 bits."""
    return "INT64_MIN" if value == -(1 << 63) else f"INT64_C({value})"


def constant_text(value: float, dtype: str) -> str:
    """Write one number of a C type."""
    if dtype == FLOAT:
        return "0" if value == 0 and copysign(1, value) > 0 else literal(value)
    if dtype in (PLACE, EIGHTH, HALF, WORD):
        return str(int(value))
    return integer(int(value)) if dtype == INT else str(-int(bool(value)))


def splat_text(value: float, dtype: str) -> str:
    """Write one number as a vector of it."""
    return f"isplat({constant_text(value, dtype)})" if dtype == BOOL else f"splat({literal(value)})"
