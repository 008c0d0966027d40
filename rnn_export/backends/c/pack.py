"""Weights in the order in which the kernels read them, and as C."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.functions import constant_text
from rnn_export.backends.c.graph import FLOAT
from rnn_export.backends.c.names import Names
from rnn_export.signature import Array

PANEL = 64  # columns that stand side by side
WIDTH = 16
LARGE = 1 << 18  # numbers; from here on an array is written as words of 64 bits
LINE = 110


def pack(matrix: Array) -> Array:
    """Cut a matrix into panels of columns, each row of a panel after the other; fill up with zeros.

    >>> pack(np.arange(4.0).reshape(2, 2)).reshape(2, 16)[:, :3]
    array([[0., 1., 0.],
           [2., 3., 0.]], dtype=float32)
    """
    rows, columns = matrix.shape
    padded = np.zeros((rows, -(-columns // WIDTH) * WIDTH), np.float32)
    padded[:, :columns] = matrix
    starts = range(0, padded.shape[1], PANEL)
    return np.concatenate([padded[:, start : start + PANEL].ravel() for start in starts])


@dataclass
class Weights:
    """The constant arrays of a model, each but once."""

    names: Names
    arrays: dict[tuple[str, bytes], tuple[str, Array]] = field(default_factory=dict)

    def matrix(self, matrix: Array, stem: str) -> str:
        """Add a matrix, packed; give its name."""
        return self.packed(pack(matrix), stem)

    def packed(self, numbers: Array, stem: str) -> str:
        """Add a matrix in the order in which it is read; give its name."""
        return self._add(numbers, FLOAT, stem)

    def vector(self, values: Array, stem: str) -> str:
        """Add a vector that is read in whole vectors; give its name."""
        padded = np.zeros(-(-values.size // WIDTH) * WIDTH, np.float32)
        padded[: values.size] = values
        return self._add(padded, FLOAT, stem)

    def numbers(self, values: Array, dtype: str) -> str:
        """Add numbers of a type; give their name."""
        padded = np.zeros(-(-values.size // WIDTH) * WIDTH, values.dtype)
        padded[: values.size] = values
        return self._add(padded, dtype, "constant")

    def _add(self, values: Array, dtype: str, stem: str) -> str:
        key = dtype, values.tobytes()
        if key not in self.arrays:
            name = self.names.new(stem)
            self.arrays[key] = (f"{name}.numbers" if values.size >= LARGE else name), values
        return self.arrays[key][0]

    def declarations(self) -> Iterator[str]:
        """Write them as C."""
        for (dtype, _), (name, values) in self.arrays.items():
            if values.size >= LARGE:
                yield from _as_words(name.removesuffix(".numbers"), values)
            else:
                yield f"ALIGNED static const {dtype} {name}[{values.size}] = {{"
                yield from _lines(constant_text(value, dtype) for value in values.tolist())
                yield "};"


def _as_words(name: str, values: Array) -> Iterator[str]:
    """Write floats as words of 64 bits, which a compiler reads in half the time and memory."""
    even = np.append(values, np.zeros(values.size % 2, np.float32)).astype("<f4")
    both = f"uint64_t words[{even.size // 2}]; float numbers[{even.size}];"
    yield f"ALIGNED static const union {{ {both} }} {name} = {{{{"
    yield from _lines(hex(word) for word in even.view("<u8").tolist())
    yield "}};"


def _lines(texts: Iterator[str]) -> Iterator[str]:
    line = "   "
    for text in texts:
        if len(line) + len(text) + 2 > LINE:
            yield line
            line = "   "
        line += f" {text},"
    yield line
