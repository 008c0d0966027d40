"""Weights in the order in which the kernels read them, and as C."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.trace.elementwise import BOOL, FLOAT, INT
from rnn_export.backends.c.write.literals import PLACE, constant_text
from rnn_export.backends.c.write.names import Names
from rnn_export.signature.tensors import Array

PANEL = 64  # columns that stand side by side
WIDTH = 16
TEXT = 1 << 18  # numbers that a model may have as text; of a larger one the arrays stand in a file beside it
SHORT = 1 << 12  # numbers; a shorter array is text in any model
LINE = 110
NUMPY = {FLOAT: np.float32, INT: np.int64, BOOL: np.bool_}  # in which the constants of a type are


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

    def numbers(self, values: Array, dtype: str, stem: str) -> str:
        """Add numbers of a type; give their name."""
        padded: Array = np.zeros(-(-values.size // WIDTH) * WIDTH, NUMPY[dtype])
        padded[: values.size] = values
        return self._add(padded, dtype, stem or "constant")

    def places(self, values: Array) -> str:
        """Add places in an array; give their name."""
        return self._add(values.astype(np.int32), PLACE, "places")

    def _add(self, values: Array, dtype: str, stem: str) -> str:
        key = dtype, values.tobytes()
        if key not in self.arrays:
            self.arrays[key] = self.names.new(stem), values
        return self.arrays[key][0]

    def apart(self) -> dict[str, Array]:
        """Give the arrays that stand in the file, in its order; none of a small model."""
        if sum(values.size for _, values in self.arrays.values()) < TEXT:
            return {}
        return {
            name: values
            for (dtype, _), (name, values) in self.arrays.items()
            if dtype == FLOAT and values.size >= SHORT
        }

    def content(self) -> bytes:
        """Give the bytes of the file: little-endian floats, each array at a multiple of 64 bytes."""
        return b"".join(values.astype("<f4").tobytes() for values in self.apart().values())

    def declarations(self, model: str) -> Iterator[str]:
        """Write them as C."""
        apart = self.apart()
        if apart:
            yield from included(model, sum(values.size for values in apart.values()))
        at = 0
        for (dtype, _), (name, values) in self.arrays.items():
            if name in apart:
                yield f"#define {name} ({model}_weights + {at})"
                at += values.size
                continue
            yield f"ALIGNED static const {dtype} {name}[{values.size}] = {{"
            yield from _lines(constant_text(value, dtype) for value in values.tolist())
            yield "};"


def included(model: str, count: int) -> Iterator[str]:
    """Write how the assembler takes in the file: as text, ten million numbers cost a compiler 2 GB.

    ``__FILE__`` finds it from wherever the compiler runs. Hidden and not static: link-time optimization may
    put the functions and the assembler's text in different places.
    """
    symbol, place = f"{model}_weights", f"{model.upper()}_WEIGHTS"
    yield rf"""#ifndef {place}
#define {place} __FILE__ ".weights" /* little-endian floats; model.h tells more */
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "model.c.weights holds little-endian numbers"
#elif defined(__GNUC__) && defined(__ELF__)
#define IN_SECTION(text) ".section .rodata\n.hidden {symbol}\n" text ".previous\n"
#elif defined(__GNUC__) && defined(__APPLE__)
#define IN_SECTION(text) ".const\n.private_extern {symbol}\n" text ".text\n"
#elif defined(__wasm__)
#define IN_SECTION(text) \
    ".section .rodata.{symbol},\"\",@\n.hidden {symbol}\n.type {symbol},@object\n" text \
    ".size {symbol}, {4 * count}\n"
#endif
#ifdef IN_SECTION
__asm__(IN_SECTION(".globl {symbol}\n.balign 64\n{symbol}: .incbin \"" {place} "\"\n"));
extern const float {symbol}[{count}] __asm__("{symbol}") __attribute__((visibility("hidden")));
#else
extern const float {symbol}[{count}]; /* in an object of its own */
#endif"""


def _lines(texts: Iterator[str]) -> Iterator[str]:
    line = "   "
    for text in texts:
        if len(line) + len(text) + 2 > LINE:
            yield line
            line = "   "
        line += f" {text},"
    yield line
