"""Where the numbers of a call stand in memory: axes as in the signature, leaves one after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from rnn_export.backends.c.trace.graph import WORDS, Operand
from rnn_export.backends.c.write.context import Address, times
from rnn_export.errors import CompileError
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import TensorSpec

# What arguments of the call hold; a truth value is 0 or -1.
C_TYPES = {"float32": "float", "int64": "int64_t", "bool": "int32_t"}


def units(spec: TensorSpec) -> int:
    """Count the numbers of one row, at one time step where there is a time axis."""
    return prod(size for size in spec.shape if isinstance(size, int))


def words(spec: TensorSpec) -> int:
    """Give the words of four bytes that a row of a leaf takes.

    Raises:
        CompileError: its dtype has no place in a state.
    """
    if spec.dtype not in C_TYPES:
        raise CompileError(f"{spec.name} has the dtype {spec.dtype}; a state in C holds {', '.join(C_TYPES)}")
    return units(spec) * WORDS[C_TYPES[spec.dtype]]


def parameters(signature: Signature) -> dict[str, str]:
    """Give the parameters of the function that stand for inputs and outputs, by the tensors' names."""
    inputs, outputs = ([spec.name for spec in specs] for specs in (signature.inputs, signature.outputs))
    taken = {name: f"in_{name}" for name in inputs} if len(inputs) > 1 else {inputs[0]: "inputs"}
    given = {name: f"out_{name}" for name in outputs} if len(outputs) > 1 else {outputs[0]: "outputs"}
    return taken | given


def slot_address(array: str, spec: TensorSpec, time: str, row: str, size: str) -> Address:
    """Say where the numbers of a row at a time step begin; ``size`` names how many there are.

    Raises:
        CompileError: they do not stand side by side.
    """
    free = [axis for axis, size in enumerate(spec.shape) if isinstance(size, str)]
    if free != list(range(len(free))):
        raise CompileError(f"{spec.name}: expected time and batch as the first axes, got {spec}")
    at = {TIME: time, BATCH: row}
    count = {TIME: "c->steps", BATCH: "c->batch"}
    first, *rest = [str(size) for size in spec.shape if isinstance(size, str)]
    place = f"{times(at[first], count[rest[0]])} + {at[rest[0]]}" if rest else at[first]
    return Address(array, tuple(place.split(" + ")) if units(spec) == 1 else (times(place, size),))


@dataclass(frozen=True)
class Piece:
    """Numbers of a leaf that stand side by side in each row.

    Attributes:
        before: the words of four bytes that stand in front of the first row's, for each row of the batch.
        offset: the first of them, within the leaf's numbers of one row.
        size: how many there are.
    """

    before: int
    offset: int
    size: int

    def address(self, array: str, width: int, size: str, at: int = 0) -> Address:
        """Say where a row's numbers of ``width`` words begin, or the one ``at`` a place behind."""
        front = f"{times('c->batch', self.before)}" if self.before else ""
        row = times("row + i", size if width == 1 else self.size * width)
        return Address(array).plus(front, row, at * width)


def leaf_pieces(signature: Signature, number: int) -> Iterator[Piece]:
    """List the pieces of a leaf: one for each place of the axes in front of the batch."""
    spec = signature.state[number]
    before = sum(words(leaf) for leaf in signature.state[:number])
    width = WORDS[C_TYPES[spec.dtype]]
    axis = spec.batch_axis
    front = prod(int(size) for size in spec.shape[:axis])
    size = prod(int(size) for size in spec.shape[axis + 1 :])
    for part in range(front):
        yield Piece(before + part * size * width, part * size, size)


def overlaps(operands: list[Operand], piece: Piece) -> Iterator[tuple[Operand, int, int, int]]:
    """List what of some numbers falls into a piece: they, their first, their place in it, their count."""
    at = 0
    for operand in operands:
        first, end = max(at, piece.offset), min(at + operand.size, piece.offset + piece.size)
        if first < end:
            yield operand, first - at, first - piece.offset, end - first
        at += operand.size
