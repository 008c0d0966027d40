"""What is traced so far: the vectors, the walks over time that make them, and the values of their numbers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from rnn_export.backends.c.trace.elementwise import C_TYPES, FLOAT, INT
from rnn_export.backends.c.trace.graph import (
    ONCE,
    Constant,
    Gather,
    Operand,
    Operation,
    Vector,
    View,
)
from rnn_export.backends.c.trace.operations import Across, At, Frames, Number
from rnn_export.backends.c.trace.symbols import Space, Symbol, Value
from rnn_export.backends.c.trace.walks import Walks
from rnn_export.errors import CompileError
from rnn_export.signature.sizes import TIME, Length
from rnn_export.signature.tensors import Array


class Tracing:
    """The vectors of a net, added one after another."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.vectors: list[Vector] = []
        self.walks = Walks()
        self.inside: int | None = None  # the number of the sweep whose step is being traced
        self.counts_steps = (
            False  # whether a walk over time knows the number of its step: a cut sequence does not
        )
        self.row_numbers: set[Vector] = set()  # known by their place alone: a row does not know its number
        self._names: dict[int, tuple[Array, str]] = {}  # with the array, so that no other gets its id

    def call(self, array: Array, name: str) -> None:
        """Remember what the model calls some constant numbers."""
        self._names.setdefault(id(array), (array, name))

    def called(self, array: Value) -> str:
        """Give what the model calls some constant numbers."""
        return self._names.get(id(array), (array, ""))[1]

    def c_type(self, dtype: str) -> str:
        """Give the C type of a dtype.

        Raises:
            CompileError: there is none here.
        """
        if dtype not in C_TYPES:
            raise CompileError(f"numbers of dtype {dtype} are not compiled to C, only {', '.join(C_TYPES)}")
        return C_TYPES[dtype]

    def emit(self, operation: Operation, shape: Any, dtype: str = FLOAT) -> Symbol:
        """Add an operation; give its value in a shape."""
        clock = self.space.clock(shape)
        size = prod(self.space.unit_shape(shape))
        return self.space.new(self.add(operation, size, dtype, clock), shape)

    def add(self, operation: Operation, size: int, dtype: str = FLOAT, clock: Length | None = None) -> Vector:
        """Add a vector of some time steps, if not those of what it reads, in a walk over these.

        Within a step of a walk, these are its places.

        Raises:
            CompileError: there is a whole number for each of them.
        """
        vector = Vector(operation, size, dtype)
        if self.inside is None:
            read = (source.clock for source in vector.sources() if not isinstance(operation, At | Frames))
            vector.clock = clock or next(filter(None, read), None)
            vector.sweep = self.walks.place(vector)
            vector.clock = None if vector.clock == ONCE else vector.clock
        else:
            vector.sweep, vector.clock = self.inside, self.walks.sweeps[self.inside].clock
            read = (source.places for source in vector.sources() if not isinstance(operation, Across))
            vector.places = clock or next(filter(None, read), None)
            if vector.places and dtype == INT:
                raise CompileError("there is a whole number for each place of a time step")
        self.vectors.append(vector)
        return vector

    def symbol(self, value: Value) -> Symbol:
        """Give a constant as a computed value."""
        if isinstance(value, Symbol):
            return value
        axis = self.space.numbered(value)
        if axis is not None:
            numbers = Gather((Constant(np.zeros(1, np.int64)),))
            rows = self.emit(numbers, [size if k == axis else 1 for k, size in enumerate(value.shape)], INT)
            self.row_numbers.add(self.vectors[-1])
            return Symbol(np.broadcast_to(rows.labels, value.shape))
        time = self.step_numbers(value)
        if time is not None:
            if self.inside is not None:
                raise CompileError("a step of a loop reads the numbers of all time steps")
            shape = [size if k == time else 1 for k, size in enumerate(value.shape)]
            steps = self.emit(Number(), shape, self.c_type(str(value.dtype)))
            return Symbol(np.broadcast_to(steps.labels, value.shape))
        units = self.space.units(value, value.shape)
        gather = Gather((Constant(np.array(units, value.dtype)),))
        return self.emit(gather, value.shape, self.c_type(str(value.dtype)))

    def step_numbers(self, constant: Array) -> int | None:
        """Find the axis along which constants number time steps, where a walk knows the number of its own."""
        axis = self.space.step_numbers(constant)
        known = axis is not None and self.space.clocks[constant.shape[axis]].base != TIME
        return axis if self.counts_steps or known else None

    @contextmanager
    def each_step(
        self,
        clock: Length,
        reads: Sequence[Symbol],
        begins: Sequence[Value | None] = (),
        *,
        reverse: bool | None = None,
    ) -> Iterator[None]:
        """Trace what is done at each step, in a walk that can read some values, and begin with others."""
        if self.inside is not None:
            raise CompileError("it is a loop within a step of another one")
        sources = [each for value in reads for each in self.owners(value)]
        ended = [each for value in begins if isinstance(value, Symbol) for each in self.owners(value)]
        self.inside = self.walks.over(clock, self.walks.after(sources, ended), reverse=reverse)
        try:
            yield
        finally:
            self.inside = None

    def at_a_step(self, sequence: Symbol, axis: int) -> Symbol:
        """Give what is read at a time step."""
        return Symbol(np.take(sequence.labels, 0, axis))

    def owners(self, value: Symbol) -> set[Vector]:
        """List the vectors whose numbers a value has."""
        numbers = np.unique(self.space.apart(value.labels)[0])
        return {self.space.vectors[owner] for owner in np.unique(self.space.owners(numbers))}

    def numbers_rows(self, value: Symbol) -> bool:
        """Whether a value is the number of the row."""
        return self.owners(value) <= self.row_numbers

    def sequence(self, value: Value, axis: int, clock: Length) -> Value:
        """Give what a step emits for all time steps; a constant is the same at each."""
        size = self.space.size(clock)
        if not isinstance(value, Symbol):
            return np.broadcast_to(np.expand_dims(value, axis), np.insert(value.shape, axis, size))
        axis = axis % (value.labels.ndim + 1)
        steps = np.arange(size).reshape([-1] + [1] * (value.labels.ndim - axis))
        return Symbol(np.expand_dims(value.labels, axis) + steps)

    def dtype(self, value: Value) -> str:
        """Give the C type of a value's numbers."""
        if isinstance(value, Symbol):
            return next(iter(self.owners(value))).dtype if value.labels.size else FLOAT
        return self.c_type(str(value.dtype))

    def view(self, value: Value, shape: Any, dtype: str | None = None) -> View:
        """Give a value's numbers, broadcast to a shape, as a run of neighbours: gathered if they are none."""
        units = self.space.views(value, shape)
        if len(units) == 1 and isinstance(units[0], View):
            return units[0]
        size = sum(view.size for view in units)
        vector = self.add(Gather(tuple(units)), size, dtype or self.dtype(value), self.space.clock(shape))
        return View(vector, 0, size)

    def operand(self, value: Value, shape: Any) -> Operand:
        """Give an argument of an elementwise operator, broadcast to a shape."""
        if isinstance(value, Symbol):
            return self.view(value, shape)
        numbers = np.array(self.space.units(value, shape), value.dtype)
        same = numbers.size and (numbers.tobytes() == numbers[:1].tobytes() * numbers.size)
        return Constant(numbers[:1] if same else numbers, self.called(value))
