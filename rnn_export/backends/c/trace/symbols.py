"""Values of the traced graph as arrays of labels: which number of which vector stands where.

A label names a number of a vector, a row and a time step. Operators that only move numbers about then need
no rule of their own: ONNX's reference evaluator runs them on the labels. The batch and the time get sizes
that occur nowhere else in the graph, so that their axes can be found again.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnn_export.backends.c.trace.graph import Operand, Vector, side_by_side
from rnn_export.errors import CompileError
from rnn_export.signature.tensors import Array


@dataclass(frozen=True, eq=False)
class Symbol:
    """A computed value: the label of each of its numbers."""

    labels: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, with the sizes that stand for batch and time."""
        return tuple(self.labels.shape)


Value = Symbol | Array


class TakenError(CompileError):
    """A size that stands for the batch or the time is that of another axis: choose others."""


class Space:
    """Gives out labels, and finds what they stand for."""

    def __init__(self, rows: int, steps: int) -> None:
        self.rows, self.steps = rows, steps
        self.bases: list[int] = []
        self.vectors: list[Vector] = []
        self.end = 0

    def new(self, vector: Vector, shape: Sequence[int]) -> Symbol:
        """Give the value of a vector, in a shape that may have a batch and a time axis."""
        self.bases.append(self.end)
        self.vectors.append(vector)
        units = [size for size in shape if size not in (self.rows, self.steps)]
        assert int(np.prod(units)) == vector.size, (shape, vector)
        numbers = self.end + np.arange(vector.size, dtype=np.int64)
        self.end += vector.size
        labels = numbers.reshape([1 if size in (self.rows, self.steps) else size for size in shape])
        labels = labels * (self.rows * self.steps)
        for axis, size in enumerate(shape):
            if size in (self.rows, self.steps):
                count = np.arange(size).reshape([-1 if k == axis else 1 for k in range(len(shape))])
                labels = labels + count * (self.steps if size == self.rows else 1)
        return Symbol(labels)

    def axis(self, symbol: Symbol, size: int) -> int | None:
        """Find the axis of the batch or of the time.

        Raises:
            CompileError: the numbers of one row or time step are mixed with those of others.
        """
        step = self.steps if size == self.rows else 1
        where = symbol.labels // step % size
        for axis in range(where.ndim):
            count = np.arange(size).reshape([-1 if k == axis else 1 for k in range(where.ndim)])
            if where.shape[axis] == size and (where == count).all():
                return axis
        if where.size and (where == where.flat[0]).all():
            return None
        raise CompileError(
            "it mixes " + ("the rows of a batch" if size == self.rows else "numbers of several time steps")
        )

    def is_last(self, symbol: Symbol) -> bool:
        """Whether it is a value at the last time step alone."""
        return bool((symbol.labels % self.steps == self.steps - 1).all())

    def units(self, value: Value, shape: Sequence[int]) -> list[tuple[Vector, int] | float]:
        """List the numbers of one row at one time step, broadcast to a shape, in order."""
        array = value.labels if isinstance(value, Symbol) else np.asarray(value)
        if isinstance(value, Symbol):
            self.axis(value, self.rows)
            self.axis(value, self.steps)
        wide = np.broadcast_to(array, shape)
        one = wide[tuple(0 if size in (self.rows, self.steps) else slice(None) for size in shape)].ravel()
        if not isinstance(value, Symbol):
            self.alike(wide, shape)
            return list(one.tolist())
        places = one // (self.rows * self.steps)
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
        free = (self.rows, self.steps)
        if any(size in free and other not in free for size, other in zip(shape, like, strict=True)):
            raise TakenError(f"a size among {list(shape)} stands for the batch or the time")

    def numbered(self, constant: Array) -> int | None:
        """Find the axis along which constants are the numbers of the rows, ``arange(batch)``."""
        for axis, size in enumerate(constant.shape):
            if size == self.rows and np.issubdtype(constant.dtype, np.integer):
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
            if size in (self.rows, self.steps):
                one = np.take(constant, [0], axis)
                if not np.array_equal(constant, np.broadcast_to(one, constant.shape), equal_nan=True):
                    raise CompileError("numbers of rows or time steps are constants that differ")

    def views(self, value: Value, shape: Sequence[int]) -> list[Operand]:
        """Give the same as runs of neighbours."""
        return side_by_side(self.units(value, shape))

    def unit_shape(self, shape: Sequence[int]) -> list[int]:
        """Leave the batch and the time out of a shape."""
        return [size for size in shape if size not in (self.rows, self.steps)]

    def front(self, value: Value) -> list[int]:
        """Give the sizes of batch and time that a value has, to be put in front of others."""
        return [size for size in value.shape if size in (self.rows, self.steps)]
