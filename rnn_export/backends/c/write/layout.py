"""Where the numbers of a call stand in memory: axes as in the signature, leaves one after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from rnn_export.backends.c.trace.graph import WORDS, Operand
from rnn_export.errors import CompileError
from rnn_export.signature.signature import BATCH, TIME, Signature, TensorSpec

C_TYPES = {"float32": "float", "int64": "int64_t"}


def words(spec: TensorSpec) -> int:
    """Give the words of four bytes that a row of a leaf takes.

    Raises:
        CompileError: its dtype has no place in a state.
    """
    if spec.dtype not in C_TYPES:
        raise CompileError(f"{spec.name} has the dtype {spec.dtype}; a state in C holds float32 and int64")
    return prod(size for size in spec.shape if isinstance(size, int)) * WORDS[C_TYPES[spec.dtype]]


def slot_address(spec: TensorSpec, time: str, row: str) -> str:
    """Write where the numbers of a row at a time step begin.

    Raises:
        CompileError: they do not stand side by side.
    """
    free = [axis for axis, size in enumerate(spec.shape) if isinstance(size, str)]
    if free != list(range(len(free))):
        raise CompileError(f"{spec.name}: expected time and batch as the first axes, got {spec}")
    units = prod(size for size in spec.shape if isinstance(size, int))
    at = {TIME: time, BATCH: row}
    first, *rest = [str(size) for size in spec.shape if isinstance(size, str)]
    if not rest:
        return f"{at[first]} * {units}"
    count = {TIME: "c->steps", BATCH: "c->batch"}[rest[0]]
    return f"({at[first]} * {count} + {at[rest[0]]}) * {units}"


@dataclass(frozen=True)
class Piece:
    """Numbers of a row of a leaf that stand side by side: where they begin, and their place in the row."""

    address: str
    offset: int
    size: int


def leaf_pieces(signature: Signature, number: int, row: str) -> Iterator[Piece]:
    """List the pieces of a row of a leaf; addresses count words of four bytes."""
    spec = signature.state[number]
    before = sum(words(leaf) for leaf in signature.state[:number])
    width = WORDS[C_TYPES[spec.dtype]]
    axis = spec.batch_axis
    front = prod(int(size) for size in spec.shape[:axis])
    behind = prod(int(size) for size in spec.shape[axis + 1 :])
    for part in range(front):
        start = before + part * behind * width
        head = f"{start} * c->batch + " if start else ""
        yield Piece(f"{head}{row} * {behind * width}", part * behind, behind)


def overlaps(views: list[Operand], piece: Piece) -> Iterator[tuple[Operand, int, int, int]]:
    """List what of some numbers falls into a piece: they, their first, their place in it, their count."""
    at = 0
    for view in views:
        size = view.size
        first, last = max(at, piece.offset), min(at + size, piece.offset + piece.size)
        if first < last:
            yield view, first - at, first - piece.offset, last - first
        at += size
