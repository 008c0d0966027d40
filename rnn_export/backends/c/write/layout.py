"""Where the numbers of a call stand in memory: axes as in the signature, leaves one after another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from rnn_export.backends.c.trace.graph import WORDS, Operand
from rnn_export.backends.c.trace.results import in_front
from rnn_export.backends.c.write.context import Address, times
from rnn_export.errors import CompileError
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import TensorSpec

# What arguments of the call hold; a truth value is 0 or -1.
NONE: Mapping[str, str] = {}
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


def slot_address(
    array: str, spec: TensorSpec, time: str, row: str, size: str, counts: Mapping[str, str] = NONE
) -> Address:
    """Say where the numbers of a row at a time step begin; ``size`` names how many there are.

    ``counts`` are the numbers of time steps that are not the call's, by what stands for them in a shape.

    Raises:
        CompileError: they do not stand side by side.
    """
    if not in_front(spec):
        raise CompileError(f"{spec.name}: expected time and batch as the first axes, got {spec}")
    first, *rest = [str(size) for size in spec.shape if isinstance(size, str)]
    at = {BATCH: row}
    count = {TIME: "c->steps", BATCH: "c->batch", **counts}
    place = (
        f"{times(at.get(first, time), count[rest[0]])} + {at.get(rest[0], time)}"
        if rest
        else at.get(first, time)
    )
    return Address(array, tuple(place.split(" + ")) if units(spec) == 1 else (times(place, size),))


@dataclass(frozen=True)
class Spread:
    """Where the numbers of a row at a time step stand, if not side by side: ``C``, ``F`` of ``[B, C, T, F]``.

    Attributes:
        begin: the first of them.
        loops: how many there are along an axis, and how far it is from one to the next, from outside in.
    """

    begin: Address
    loops: tuple[tuple[int, str], ...]

    @classmethod
    def of(
        cls, array: str, spec: TensorSpec, places: Mapping[str, str], counts: Mapping[str, str]
    ) -> "Spread":
        """Find it, given the place along each of the free axes and how large they are."""
        loops: list[tuple[int, str]] = []
        terms: list[str] = []
        inner: list[str] = []  # the sizes of the axes behind
        for size in reversed(spec.shape):
            step = " * ".join(inner) or "1"
            if isinstance(size, str):
                terms.append(times(places[size], step))
                inner.insert(0, counts[size])
            elif size > 1:
                loops.append((size, step))
                inner.insert(0, str(size))
        return cls(Address(array, tuple(reversed(terms))), tuple(reversed(loops)))

    def copied(self, there: Address, dtype: str, *, out: bool) -> Iterator[str]:
        """Copy them from or to a place where they stand side by side."""
        here, counts = self.begin, [count for count, _ in self.loops]
        for depth, (count, step) in enumerate(self.loops):
            counter = "mnjk"[depth % 4] * (1 + depth // 4)
            yield f"{'    ' * depth}for (size_t {counter} = 0; {counter} < {count}; {counter}++)"
            here = here.plus(times(counter, step))
            there = there.plus(times(counter, prod(counts[depth + 1 :])))
        one, other = (here, there) if out else (there, here)
        yield f"{'    ' * len(self.loops)}{one.item()} = {other.item()};"


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
