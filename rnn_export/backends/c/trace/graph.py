"""What a net computes for one row at one time step: vectors of numbers, and the operation that makes each.

The batch has no axis here: rows are independent, and every one gets the same operations in the same order.
Layout has no operators either: an operand is a place in what another operation made.

There is one frozen dataclass for each kind of operation. A :class:`Vector` is what stays when the operation
that makes it is replaced by a better one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from rnn_export.backends.c.trace.elementwise import BOOL, C_TYPES, FLOAT, INT, Operator
from rnn_export.signature.sizes import Length
from rnn_export.signature.tensors import Array

WORDS = {FLOAT: 1, INT: 2, BOOL: 1}  # of four bytes
TIME_STEPS = Length()  # those of the call
ONCE = Length(times=0, more=1)  # what there is one of in a call


@dataclass(eq=False)
class Vector:
    """A vector of numbers.

    Attributes:
        operation: what makes it.
        size: how many numbers it has.
        dtype: their type in C.
        sweep: the number of the walk over time in which it is made.
        clock: the time steps that there is one of it for; none where it is the same at all of them.
        name: what the user's source calls it, if that is known.
        places: what there is one of it for at each time step, as for each entry of a memory; none where there
            is one alone.
    """

    operation: "Operation"
    size: int
    dtype: str = FLOAT
    sweep: int = 0
    name: str = ""
    clock: Length | None = None
    places: Length | None = None

    def sources(self) -> Iterator["Vector"]:
        """Name the vectors that are read at the same time step."""
        return (operand.vector for operand in self.operation.reads() if isinstance(operand, View))

    @property
    def following(self) -> "View | None":
        """What a state is after the time step; nothing for other vectors."""
        return self.operation.following if isinstance(self.operation, State) else None

    @property
    def start(self) -> "View | None":
        """What an affine operation adds its products to, if that is computed."""
        return self.operation.start if isinstance(self.operation, Affine) else None


@dataclass(frozen=True)
class View:
    """Numbers of a vector, from a place on; ``step`` is 0 where one number stands for all."""

    vector: Vector
    offset: int
    size: int
    step: int = 1

    @property
    def complete(self) -> bool:
        """Whether it is all of the vector, number by number."""
        return self.offset == 0 and self.size == self.vector.size and self.step == 1

    def count(self) -> int:
        """Give how many different numbers it names."""
        return self.size if self.step else 1


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that are always the same; one stands for all of them. With what the model calls them."""

    values: Array
    name: str = ""

    @property
    def single(self) -> bool:
        """Whether it is one number."""
        return self.values.size == 1

    @property
    def dtype(self) -> str:
        """Their type in C."""
        return C_TYPES[self.values.dtype.name]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(self.values.size)


Operand = View | Constant
Move = Callable[[View], View]


def moved(operand: Operand, move: Move) -> Operand:
    """Give an operand at another place; constants stay."""
    return move(operand) if isinstance(operand, View) else operand


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant matrix or bias; ``labels`` say what the model calls which of its columns."""

    values: Array
    labels: tuple[tuple[int, int, str], ...]  # the first column, the end, and the name

    @classmethod
    def of(cls, values: Array, name: str) -> "Weight":
        """Give one that has a single name."""
        return cls(values, ((0, values.shape[-1], name),))

    @property
    def name(self) -> str:
        """Name all of it."""
        return ", ".join(dict.fromkeys(name for _, _, name in self.labels if name))

    def columns(self, first: int, end: int) -> "Weight":
        """Give some of its columns."""
        kept = [
            (max(begin, first) - first, min(stop, end) - first, name)
            for begin, stop, name in self.labels
            if begin < end and stop > first
        ]
        return Weight(self.values[..., first:end], tuple(kept))

    def rows(self, first: int, end: int) -> "Weight":
        """Give some of a matrix's rows."""
        return Weight(self.values[first:end], self.labels)


@dataclass(frozen=True, eq=False)
class Operation:
    """What makes a vector out of its operands; all else that an operation has is given by name."""

    operands: tuple[Operand, ...] = ()

    def reads(self) -> Iterator[Operand]:
        """List everything that is read at the same time step."""
        yield from self.operands

    def moved(self, move: Move) -> Self:
        """Give the same operation, which reads everything at other places."""
        return replace(self, operands=tuple(moved(operand, move) for operand in self.operands))

    def views(self) -> list[View]:
        """List the operands that are computed."""
        return [operand for operand in self.operands if isinstance(operand, View)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Operation):
    """A leaf of the call, one row at one time step; or a place of the workspace, for each step of a clock."""

    leaf: str
    offset: int = 0
    clock: Length = TIME_STEPS


@dataclass(frozen=True, eq=False, kw_only=True)
class State(Operation):
    """What ``following`` was one time step ago; at first, the operands side by side."""

    following: View | None = None

    def moved(self, move: Move) -> Self:
        """Give the same operation, which reads everything at other places."""
        return replace(super().moved(move), following=move(self.following) if self.following else None)


@dataclass(frozen=True, eq=False)
class Final(Operation):
    """What its operand, a state, is after the last time step."""


@dataclass(frozen=True, eq=False)
class Gather(Operation):
    """The operands side by side; no arithmetic."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(Operation):
    """``bias + sum(x @ W)`` over operands ``x`` and their matrices; ``start`` may take the bias's place."""

    matrices: tuple[Weight, ...]
    bias: Weight | None = None
    start: View | None = None

    def reads(self) -> Iterator[Operand]:
        """List everything that is read at the same time step."""
        yield from self.operands
        if self.start is not None:
            yield self.start

    def moved(self, move: Move) -> Self:
        """Give the same operation, which reads everything at other places."""
        return replace(super().moved(move), start=move(self.start) if self.start else None)

    def parts(self) -> list[tuple[View, Weight]]:
        """List what is multiplied with which matrix."""
        return list(zip(self.views(), self.matrices, strict=True))

    @property
    def depth(self) -> int:
        """The length of its sums."""
        return sum(view.size for view in self.views())


@dataclass(frozen=True, eq=False)
class Dot(Affine):
    """The same for one operand and few columns, made column by column."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lookup(Operation):
    """A row of a table; an index outside of it gives zeros."""

    table: Weight


@dataclass(frozen=True, eq=False, kw_only=True)
class Product(Operation):
    """Products of computed matrices, ``[rows, inner] @ [inner, columns]``, one after another."""

    matrices: int
    rows: int
    inner: int
    columns: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduce(Operation):
    """The ``max``, ``mean``, ``min``, ``prod`` or ``sum`` of each ``count`` neighbours."""

    function: str
    count: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Elementwise(Operation):
    """An elementwise operator of ONNX, and the numbers that it has as attributes."""

    kind: str
    operator: Operator
    attributes: Mapping[str, float] = field(default_factory=dict)


def on_integers(vector: Vector) -> bool:
    """Whether int64 is among the numbers that an operation reads or makes: C then goes number by number."""
    return INT in {vector.dtype, *(view.vector.dtype for view in vector.operation.views())}
