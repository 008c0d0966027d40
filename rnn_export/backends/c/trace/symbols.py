"""Values of the traced graph as arrays of labels: which number of which vector stands where.

A label names a number of a vector, a row and a time step; and a place, where there is one of the vector for
each place of a time step (:mod:`rnn_export.backends.c.trace.pairs`). Operators that only move numbers about
then need no rule of their own: ONNX's reference evaluator runs them on the labels. The batch and the time get
sizes that occur nowhere else in the graph, so that their axes can be found again.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from rnn_export.backends.c.trace.graph import Operand, Vector
from rnn_export.backends.c.trace.net import side_by_side
from rnn_export.errors import CompileError
from rnn_export.signature.sizes import Length
from rnn_export.signature.tensors import Array

MANY = 1000  # time steps, more than any number of them that a window needs
SPAN = 1 << 12  # more than any size that stands for a number of time steps
MOST_ROWS = 1 << 7  # more than any that stands for the batch
PLACE = MOST_ROWS * SPAN  # from the labels of a place to those of the next
UNIT = PLACE * SPAN  # from the labels of a number to those of the next
BITS = UNIT.bit_length() - 1, SPAN.bit_length() - 1, PLACE.bit_length() - 1


@dataclass(frozen=True, eq=False)
class Symbol:
    """A computed value: the label of each of its numbers."""

    labels: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, with the sizes that stand for batch and time."""
        return tuple(self.labels.shape)


@dataclass(frozen=True, eq=False)
class OfRow(Symbol):
    """Time steps of each row as places in the flattened ``[B T, ...]``, of the time steps of a clock."""

    clock: Length


Value = Symbol | Array


class TakenError(CompileError):
    """A size that stands for the batch or the time is that of another axis: choose others."""


def _alike(one: Length, other: Length) -> bool:
    """Whether two numbers of time steps are always the same."""
    some = range(MANY, MANY + 2 * one.by * other.by)
    alike = one.base == other.base and all(one.of(steps) == other.of(steps) for steps in some)
    return one == other or alike


class Space:
    """Gives out labels, and finds what they stand for.

    ``clocks`` are the numbers of time steps that there are, by the sizes that stand for them: that of the
    call, and what a stride over time makes of it, say. A free size of a context is one, too.
    """

    def __init__(self, rows: int, clocks: Mapping[int, Length], taken: Set[int] = frozenset()) -> None:
        self.rows, self.clocks, self.taken = rows, dict(clocks), taken
        self.free = {rows, *clocks}
        self.bases: list[int] = []
        self.vectors: list[Vector] = []
        self.end = 0

    def size(self, clock: Length) -> int:
        """Give the size that stands for a number of time steps, a new one maybe.

        Raises:
            TakenError: it is that of another axis.
        """
        [steps] = (size for size, known in self.clocks.items() if known == Length(base=clock.base))
        size = clock.of(steps)
        known = self.clocks.setdefault(size, clock)
        if not _alike(known, clock) or size in self.taken or size == self.rows:
            raise TakenError(f"a size of {size} stands for {clock} and for something else")
        self.free.add(size)
        return size

    def clock(self, shape: Sequence[int]) -> Length | None:
        """Find the time steps that a shape has an axis for; none where all are the same.

        Raises:
            TakenError: there are two such axes.
        """
        found = self.clock_axes(shape)
        if len(found) > 1:
            raise TakenError("it has two axes of time steps")
        return self.clocks[shape[found[0]]] if found else None

    def clock_axes(self, shape: Sequence[int]) -> list[int]:
        """List the axes of a shape that time steps have, or the places of a context."""
        return [axis for axis, size in enumerate(shape) if size in self.clocks]

    def new(self, vector: Vector, shape: Sequence[int]) -> Symbol:
        """Give the value of a vector, in a shape that may have a batch and a time axis.

        Raises:
            TakenError: as many numbers stand side by side as a size that stands for something else.
        """
        self.bases.append(self.end)
        self.vectors.append(vector)
        self.end += vector.size
        return self.again(vector, shape)

    def again(self, vector: Vector, shape: Sequence[int]) -> Symbol:
        """Give the value of a vector that has one, in another shape maybe; raises as :meth:`new` does."""
        place = len(self.vectors) - 1 - self.vectors[::-1].index(vector)
        units = [size for size in shape if size not in self.free]
        if int(np.prod(units)) != vector.size:
            raise TakenError(f"a size among {list(shape)} stands for the batch or for time steps")
        numbers = self.bases[place] + np.arange(vector.size, dtype=np.int64)
        labels = numbers.reshape([1 if size in self.free else size for size in shape])
        labels = labels * UNIT
        for axis, size in enumerate(shape):
            if size in self.free:
                count = np.arange(size).reshape([-1 if k == axis else 1 for k in range(len(shape))])
                labels = labels + count * (SPAN if size == self.rows else PLACE if vector.places else 1)
        return Symbol(labels)

    def apart(self, labels: Array) -> tuple[Array, Array, Array]:
        """Take labels apart: which number of all vectors, of which row, and of which time step."""
        return labels >> BITS[0], (labels >> BITS[1]) & (MOST_ROWS - 1), labels & (SPAN - 1)

    def places(self, labels: Array) -> Array:
        """Say which place of a time step labels are of."""
        return (labels >> BITS[2]) & (SPAN - 1)

    def paired(self, labels: Array) -> bool:
        """Whether some of the numbers are those of a place of a time step."""
        owners = np.unique(self.owners(labels >> BITS[0]))
        return any(self.vectors[owner].places is not None for owner in owners)

    def owners(self, numbers: Array) -> Array:
        """Say which vectors some numbers are of."""
        return np.searchsorted(self.bases, numbers, side="right") - 1

    def batch_axis(self, symbol: Symbol) -> int | None:
        """Find the axis of the batch.

        Raises:
            CompileError: the numbers of one row are mixed with those of others.
        """
        rows = self.apart(symbol.labels)[1]
        for axis in range(rows.ndim):
            count = np.arange(self.rows).reshape([-1 if k == axis else 1 for k in range(rows.ndim)])
            if rows.shape[axis] == self.rows and (rows == count).all():
                return axis
        if rows.size and (rows == rows.flat[0]).all():
            return None
        raise CompileError("it mixes the rows of a batch")

    def is_last(self, symbol: Symbol) -> bool:
        """Whether it is a value at the last time step alone, of as many as the call has."""
        numbers, _, steps = self.apart(symbol.labels)
        clocks = {self.vectors[owner].clock for owner in np.unique(self.owners(numbers))}
        return clocks == {Length()} and bool((steps == self.steps - 1).all())

    @property
    def steps(self) -> int:
        """The size that stands for the time steps of the call."""
        return next(size for size, clock in self.clocks.items() if clock == Length())

    def units(self, value: Value, shape: Sequence[int]) -> list[tuple[Vector, int] | float]:
        """List the numbers of one row at one time step, broadcast to a shape, in order."""
        array = value.labels if isinstance(value, Symbol) else np.asarray(value)
        if isinstance(value, Symbol):
            self.batch_axis(value)
        wide = np.broadcast_to(array, shape)
        one = wide[tuple(0 if size in self.free else slice(None) for size in shape)].ravel()
        if not isinstance(value, Symbol):
            self.alike(wide, shape)
            return list(one.tolist())
        places = one >> BITS[0]
        owners = [bisect_right(self.bases, place) - 1 for place in places]
        return [
            (self.vectors[owner], int(place) - self.bases[owner])
            for owner, place in zip(owners, places, strict=True)
        ]

    def keep_apart(self, shape: Sequence[int], like: Sequence[int]) -> None:
        """Check that axes have the sizes that stand for batch and time only where another value's have them.

        Raises:
            TakenError: a size that no shape of the graph has is one of them.
        """
        pairs = zip(shape, like, strict=True)
        if any(size in self.free and other not in self.free for size, other in pairs):
            raise TakenError(f"a size among {list(shape)} stands for the batch or the time")

    def numbered(self, constant: Array) -> int | None:
        """Find the axis along which constants are the numbers of the rows, ``arange(batch)``."""
        for axis, size in enumerate(constant.shape):
            if size == self.rows and np.issubdtype(constant.dtype, np.integer):
                numbers = np.arange(size).reshape([-1] + [1] * (constant.ndim - 1 - axis))
                if (constant == numbers).all():
                    return axis
        return None

    def step_numbers(self, constant: Array) -> int | None:
        """Find the axis along which constants are the numbers of the time steps, ``arange(T)``."""
        for axis, size in enumerate(constant.shape):
            if size in self.clocks and constant.dtype.kind in "if":
                numbers = np.arange(size).reshape([-1] + [1] * (constant.ndim - 1 - axis))
                if (constant == numbers).all():
                    return axis
        return None

    def alike(self, constant: Array, shape: Sequence[int]) -> None:
        """Check that constant numbers are the same for all rows and time steps.

        Raises:
            CompileError: they are not, as those of ``arange(batch)``.
        """
        for axis, size in enumerate(shape):
            if size in self.free:
                one = np.take(constant, [0], axis)
                if not np.array_equal(constant, np.broadcast_to(one, constant.shape), equal_nan=True):
                    raise CompileError("numbers of rows or time steps are constants that differ")

    def views(self, value: Value, shape: Sequence[int]) -> list[Operand]:
        """Give the same as runs of neighbours."""
        return side_by_side(self.units(value, shape))

    def unit_shape(self, shape: Sequence[int]) -> list[int]:
        """Leave the batch and the time out of a shape."""
        return [size for size in shape if size not in self.free]

    def front(self, value: Value) -> list[int]:
        """Give the sizes of batch and time that a value has, to be put in front of others."""
        return [size for size in value.shape if size in self.free]
