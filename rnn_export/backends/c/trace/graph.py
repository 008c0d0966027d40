"""What a net computes for one row at one time step: vectors of numbers, and what makes one from others.

The batch has no axis here: rows are independent, and every one gets the same operations in the same order.
Layout has no operators either: an operand is a place in what another operation made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_export.signature.signature import Array

pass
pass
pass

FLOAT, INT, BOOL = "float", "int64_t", "int32_t"  # the types of numbers, as C has them
WORDS = {FLOAT: 1, INT: 2}  # of four bytes, in a state
INPUT, STATE, GATHER, AFFINE, DOT, LOOKUP, PRODUCT, REDUCE = (
    "Input",
    "State",
    "Gather",
    "Affine",
    "Dot",
    "Lookup",
    "Product",
    "Reduce",
)


@dataclass(eq=False)
class Op:
    """An operation, and the vector it makes.

    ``kind`` is one of the names above, or an elementwise ONNX operator.

    - ``Input``: a leaf of the call, one row at one time step.
    - ``State``: what ``following`` was one time step ago; at first, ``initial``.
    - ``Gather``: numbers out of other vectors, ``places`` lists them; no arithmetic.
    - ``Affine``: ``bias + sum(x @ W)`` over the parts; ``start`` may take the place of the bias.
    - ``Dot``: the same for one part and few columns, made column by column.
    - ``Lookup``: a row of a table; an index outside of it gives zeros.
    - ``Product``: of two matrices that are both computed, ``[M, K] @ [K, N]``.
    - ``Reduce``: over the last axis of ``[size, n]``.
    """

    kind: str
    size: int
    dtype: str = FLOAT
    operands: list["Operand"] = field(default_factory=list)
    matrices: list[Array] = field(default_factory=list)
    bias: Array | None = None
    start: "View | None" = None
    places: list["Place"] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    following: "View | None" = None
    pass_number: int = 0
    names: list[str] = field(default_factory=list)  # of the matrices, as the model calls them
    bias_name: str = ""

    def sources(self) -> Iterator["Op"]:
        """Name the operations whose vectors are read at the same time step."""
        for operand in (*self.operands, self.start):
            if isinstance(operand, View):
                yield operand.op
        for place in self.places:
            if isinstance(place, View):
                yield place.op


@dataclass(frozen=True)
class View:
    """Numbers of a vector, from a place on; ``step`` is 0 where one number stands for all."""

    op: Op
    offset: int
    size: int
    step: int = 1

    def moved(self, by: int) -> "View":
        """Give the same place in a vector of which this one's is a part."""
        return View(self.op, self.offset + by, self.size, self.step)


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that are always the same; one stands for all of them. With what the model calls them."""

    values: Array
    name: str = ""

    @property
    def single(self) -> bool:
        """Whether it is one number."""
        return self.values.size == 1


Operand = View | Constant
Place = View | Constant


@dataclass(frozen=True)
class Pass:
    """One walk over the time steps, forward or from the last to the first."""

    reverse: bool


@dataclass
class Net:
    """All that a call computes.

    Attributes:
        passes: the walks over time, in order.
        ops: in an order in which each follows what it reads; a state's ``following`` may come later.
        outputs: where the numbers of a row's outputs at a time step stand.
        last: whether the outputs are those of the last time step alone.
        finals: for each leaf of the state that comes out, where its numbers stand after the call.
    """

    passes: list[Pass]
    ops: list[Op]
    outputs: list[View | Constant]
    last: bool
    finals: list[list[View | Constant]]

    def states(self, number: int | None = None) -> list[Op]:
        """List the states, of one pass or of all."""
        return [op for op in self.ops if op.kind == STATE and number in (None, op.pass_number)]

    def uses(self) -> dict[Op, list[tuple[Op | None, View]]]:
        """List who reads what of each operation's vector; nobody in particular for results."""
        found: dict[Op, list[tuple[Op | None, View]]] = {op: [] for op in self.ops}
        for op in self.ops:
            for view in (*op.operands, op.start, op.following, *op.places):
                if isinstance(view, View):
                    reads = View(view.op, view.offset, view.size if view.step else 1)
                    found[view.op].append((None if view is op.following else op, reads))
        for view in (*self.outputs, *(view for final in self.finals for view in final)):
            if isinstance(view, View):
                found[view.op].append((None, view))
        return found


def pieces(units: Sequence[tuple[Op, int] | float]) -> list[View | Constant]:
    """Put single places together: runs of neighbours, and runs of one place."""
    found: list[View | Constant] = []
    for unit in units:
        last = found[-1] if found else None
        if not isinstance(unit, tuple):
            if isinstance(last, Constant):
                found[-1] = Constant(np.append(last.values, unit))
            else:
                found.append(Constant(np.array([unit])))
            continue
        op, place = unit
        if isinstance(last, View) and last.op is op:
            if (last.size == 1 or last.step == 1) and place == last.offset + last.size:
                found[-1] = View(op, last.offset, last.size + 1)
                continue
            if (last.size == 1 or last.step == 0) and place == last.offset:
                found[-1] = View(op, last.offset, last.size + 1, 0)
                continue
        found.append(View(op, place, 1))
    return found


def is_whole(op: Op) -> bool:
    """Whether an operation reads or makes whole numbers."""
    kinds = {operand.op.dtype for operand in op.operands if isinstance(operand, View)}
    return INT in kinds | {op.dtype}
