"""Weights in the order in which the kernels read them, and as C."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.trace.elementwise import BOOL, FLOAT, INT
from rnn_export.backends.c.trace.graph import Weight
from rnn_export.backends.c.write.literals import EIGHTH, HALF, PLACE, WORD, constant_text
from rnn_export.backends.c.write.names import Names
from rnn_export.program.small_weights import BF16, FLOAT32, INT8, Channels, channels_of, is_bf16, to_bf16
from rnn_export.signature.tensors import Array

PANEL = 64  # columns that stand side by side
WIDTH = 16
TEXT = 1 << 18  # numbers that a model may have as text; of a larger one the arrays stand in a file beside it
SHORT = 1 << 12  # numbers; a shorter array is text in any model
LINE = 110
ROOM = 64  # bytes: where an array in the file begins is a multiple
C_OF = {FLOAT32: FLOAT, BF16: HALF, INT8: EIGHTH}  # the type of a format's numbers
IN_WORD = {BF16: 2, INT8: 4}  # numbers that a word of 32 bits holds
NUMPY = {FLOAT: np.float32, INT: np.int64, BOOL: np.bool_}  # in which the constants of a type are


def pack(matrix: Array) -> Array:
    """Cut a matrix into panels of columns, each row of a panel after the other; fill up with zeros.

    >>> pack(np.arange(4, dtype=np.float32).reshape(2, 2)).reshape(2, 16)[:, :3]
    array([[0., 1., 0.],
           [2., 3., 0.]], dtype=float32)
    """
    padded = padded_rows(matrix).reshape(len(matrix), -1)
    starts = range(0, padded.shape[1], PANEL)
    return np.concatenate([padded[:, start : start + PANEL].ravel() for start in starts])


def padded_rows(matrix: Array) -> Array:
    """Give the rows of a matrix one after the other, each filled up to whole vectors with zeros."""
    rows, columns = matrix.shape
    padded = np.zeros((rows, -(-columns // WIDTH) * WIDTH), matrix.dtype)
    padded[:, :columns] = matrix
    return padded.ravel()


def words(matrix: Array, count: int) -> Array:
    """Put so many rows of a matrix into each row of words: the first of them has the lowest bits.

    >>> words(np.array([[1, 2], [3, -1], [4, 0]], np.int8), 4).tolist()
    [[262913, 65282]]
    """
    filled = np.pad(matrix, ((0, -len(matrix) % count), (0, 0)))
    apart = filled.reshape(-1, count, matrix.shape[1]).transpose(0, 2, 1)
    little = apart.astype(apart.dtype.newbyteorder("<"), order="C")
    return little.view("<u4")[..., 0].astype(np.uint32)


@dataclass(frozen=True)
class Groups:
    """How the matrices of several groups, side by side ``[K, groups N]``, are packed: one after the other."""

    count: int = 1

    def matrix(self, values: Array) -> Array:
        """Pack them."""
        return np.concatenate([pack(part) for part in np.split(values, self.count, axis=1)])

    def scales(self, values: Array) -> Array:
        """Arrange a number for each column."""
        return padded_rows(values.reshape(self.count, -1))


@dataclass(frozen=True)
class Stored:
    """A matrix in memory: the name of its numbers, their format, and for int8 the name of their scales.

    ``in_words`` says whether a word has the numbers of several rows of a column.
    """

    name: str
    kind: str = FLOAT32
    scales: str = ""
    in_words: bool = False

    @property
    def type(self) -> str:
        """The type of its numbers, or of words."""
        return WORD if self.in_words else C_OF[self.kind]

    def rows(self, count: int) -> int:
        """Count its rows in memory."""
        return -(-count // IN_WORD[self.kind]) if self.in_words else count

    def depth(self, count: str) -> str:
        """Write the same."""
        return f"WORDS{self.suffix}({count})" if self.in_words else count

    @property
    def suffix(self) -> str:
        """What the names of kernels that read it end with."""
        return "" if self.kind == FLOAT32 else f"_{self.kind}"

    @property
    def arrays(self) -> list[str]:
        """What kernels that read it take."""
        return [self.name, self.scales] if self.scales else [self.name]


@dataclass
class Weights:
    """The constant arrays of a model, each but once.

    ``kind`` is the format of matrices whose numbers are rounded to it; ``kept`` names the others.
    """

    names: Names
    kind: str = FLOAT32
    arrays: dict[tuple[str, bytes], tuple[str, Array]] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    def matrix(
        self, weight: Weight, arranged: Callable[[Array], Array] | Groups = pack, *, in_words: bool = True
    ) -> Stored:
        """Add a matrix ``[K, N]``, arranged as it is read, in the format of the model if it can be.

        A product reads smaller numbers in words, each those of several rows.
        """
        values, stem = weight.values, weight.name
        spread = arranged.scales if isinstance(arranged, Groups) else padded_rows
        arranged = arranged.matrix if isinstance(arranged, Groups) else arranged
        small, scales = self._small(values), ""
        if small is None:
            self.keep(stem, values.shape)
            return Stored(self.packed(arranged(values), stem))
        if isinstance(small, Channels):
            # the last vector of the last gates may end behind the columns
            scales = self.vector(
                np.pad(spread(small.scales[None]), (0, WIDTH)), f"{stem or 'constants'} scale"
            )
            small = small.numbers
        numbers = arranged(words(small, IN_WORD[self.kind]) if in_words else small)
        name = self._add(numbers, WORD if in_words else C_OF[self.kind], stem)
        return Stored(name, self.kind, scales, in_words)

    def _small(self, values: Array) -> Array | Channels | None:
        """Give the numbers of a matrix in the format of the model, if they are rounded to it."""
        if self.kind == BF16 and is_bf16(values):
            return to_bf16(values)
        return channels_of(values) if self.kind == INT8 else None

    def keep(self, stem: str, shape: Sequence[int]) -> None:
        """Say that a matrix stays in float32."""
        if self.kind != FLOAT32:
            self.kept.append(f"{stem or 'a matrix'} {list(shape)}")

    def table(self, weight: Weight) -> tuple[Stored, bool]:
        """Add the rows of a table and one of zeros; say whether a scale is that of a row, not of a column."""
        rows = np.concatenate([weight.values, np.zeros_like(weight.values[:1])])
        whole, turned = Weight(rows, weight.labels), Weight.of(rows.T, weight.name)
        if self.kind == INT8 and channels_of(rows) is None and channels_of(rows.T) is not None:
            return self.matrix(turned, lambda values: padded_rows(values.T), in_words=False), True
        stored = self.matrix(whole, padded_rows, in_words=False)
        if self.kind != stored.kind:
            self.kept.pop()
            self.keep(weight.name, weight.values.shape)  # without the row of zeros
        return stored, False

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
        count = sum(self._count(values, dtype) for (dtype, _), (_, values) in self.arrays.items())
        if count < TEXT:
            return {}
        return {
            name: values
            for (dtype, _), (name, values) in self.arrays.items()
            if dtype in (*C_OF.values(), WORD) and self._count(values, dtype) >= SHORT
        }

    def _count(self, values: Array, dtype: str) -> int:
        """Count the numbers of an array."""
        return values.size * (IN_WORD[self.kind] if dtype == WORD else 1)

    def content(self) -> bytes:
        """Give the bytes of the file: little-endian numbers, each array at a multiple of 64 bytes."""
        arrays = (values.astype(values.dtype.newbyteorder("<")) for values in self.apart().values())
        return b"".join(array.tobytes().ljust(room(array), b"\0") for array in arrays)

    def declarations(self, model: str) -> Iterator[str]:
        """Write them as C."""
        apart = self.apart()
        if apart:
            yield from included(model, sum(map(room, apart.values())) // 4)
        at = 0
        for (dtype, _), (name, values) in self.arrays.items():
            if name in apart:
                place = f"({model}_weights + {at})"
                yield f"#define {name} {place if dtype == FLOAT else f'((const {dtype} *){place})'}"
                at += room(values) // 4
                continue
            yield f"ALIGNED static const {dtype} {name}[{values.size}] = {{"
            space = "" if dtype in (EIGHTH, HALF, WORD) else " "
            yield from _lines((constant_text(value, dtype) for value in values.tolist()), space)
            yield "};"


def room(array: Array) -> int:
    """Give the bytes from the beginning of an array in the file to that of the next."""
    return -(-array.nbytes // ROOM) * ROOM


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


def _lines(texts: Iterator[str], space: str) -> Iterator[str]:
    line = "   "
    for text in texts:
        if len(line) + len(text) + 2 > LINE:
            yield line
            line = "   "
        line += f"{space or ' ' * (line == '   ')}{text},"
    yield line
