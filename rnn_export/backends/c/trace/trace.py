"""From a Program to a :class:`Net`: walk over the graph with labels in the place of numbers.

What has no symbol among its arguments is computed here and now; what only moves numbers about is run on the
labels; for all else there is a rule in :mod:`rnn_export.backends.c.trace.rules`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.elementwise import C_TYPES, FLOAT, INT
from rnn_export.backends.c.trace.graph import (
    Constant,
    Final,
    Gather,
    Input,
    Operand,
    Operation,
    State,
    Sweep,
    Vector,
    View,
)
from rnn_export.backends.c.trace.nodes import evaluate, where
from rnn_export.backends.c.trace.source_names import source_names
from rnn_export.backends.c.trace.symbols import Space, Symbol, TakenError, Value
from rnn_export.errors import CompileError
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import Array, TensorSpec

MOVES = frozenset(
    """
    Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Reshape ReverseSequence Slice
    SpaceToDepth Split Squeeze Tile Transpose Unsqueeze
    """.split()  # noqa: SIM905
)
SIZES = frozenset({"Shape", "Size"})
PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101)


def sizes_apart(program: Program) -> list[int]:
    """Choose sizes for batch and time that are no other size of the graph, in four different ways."""
    taken: set[int] = set()
    for graph in program.model.graphs():
        values = [*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)]
        for value in values:
            shape = value.shape if value.const_value is None else value.const_value.shape
            taken |= {size for size in shape or () if isinstance(size, int)}
        for attribute in (each for node in graph for each in node.attributes.values()):
            taken |= set(attribute.as_ints()) if attribute.type is ir.AttributeType.INTS else set()
    return [prime for prime in PRIMES if prime not in taken]


Rules = Mapping[str, Callable[["Tracer", ir.Node, list[Value | None]], list[Value]]]


class Tracer:
    """A walk over a Program's graph, with sizes that stand for batch and time."""

    def __init__(
        self, program: Program, signature: Signature, rows: int, steps: int, rules: Rules, prefix: str = ""
    ) -> None:
        self.rules, self.prefix = rules, prefix
        self.program, self.signature = program, signature
        self.space = Space(rows, steps)
        self.sizes = {TIME: steps, "batch": rows}
        self.vectors: list[Vector] = []
        self.sweeps: list[Sweep] = []
        self.inside: int | None = None  # the number of the sweep whose step is being traced
        self.row_numbers: set[Vector] = set()  # known by their place alone: a row does not know its number
        self._names: dict[int, tuple[Array, str]] = {}  # with the array, so that no other gets its id

    def run(self) -> list[Value]:
        """Trace the graph; give its results.

        Raises:
            CompileError: an operator is not known, or mixes rows or time steps.
        """
        graph = self.program.model.graph
        known: dict[ir.Value, Value] = {}
        by_name = {str(value.name): value for value in graph.inputs}
        for spec in (*self.signature.inputs, *self.signature.state):
            if spec.name in by_name:
                known[by_name[spec.name]] = self.leaf(spec)
        self.walk(graph, known)
        results = [self.value(known, value) for value in graph.outputs]
        if not self.sweeps:
            self.sweeps.append(Sweep(reverse=False))
        return results

    def call(self, array: Array, name: str) -> None:
        """Remember what the model calls some constant numbers."""
        self._names.setdefault(id(array), (array, name))

    def called(self, array: Value) -> str:
        """Give what the model calls some constant numbers."""
        return self._names.get(id(array), (array, ""))[1]

    def leaf(self, spec: TensorSpec) -> Symbol:
        """Give the symbol of an argument of the call.

        Raises:
            CompileError: its dtype is none of C's, or it has a free size of its own.
        """
        for name in spec.shape:
            if isinstance(name, str) and name not in self.sizes:
                raise CompileError(f"{spec.name} has the free size {name}; C is written for time and batch")
        shape = spec.sized(**self.sizes)
        return self.emit(Input(leaf=spec.name), shape, self.c_type(spec.dtype))

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
        return self.space.new(self.add(operation, prod(self.space.unit_shape(shape)), dtype), shape)

    def add(self, operation: Operation, size: int, dtype: str = FLOAT) -> Vector:
        """Add a vector, in the walk over time that is being traced, or in the last one it reads from."""
        vector = Vector(operation, size, dtype)
        sources = (source.sweep for source in vector.sources())
        vector.sweep = max(sources, default=0) if self.inside is None else self.inside
        self.vectors.append(vector)
        return vector

    def value(self, known: Mapping[ir.Value, Value], value: ir.Value) -> Value:
        """Give what is known of a value: its symbol, or the numbers of a constant."""
        if value in known:
            return known[value]
        if value.const_value is None:
            raise CompileError(f"nothing is known of {value.name!r}")
        array = value.const_value.numpy()
        if str(value.name).startswith(self.prefix):
            self.call(array, str(value.name).removeprefix(self.prefix))
        return array

    def walk(self, graph: ir.Graph, known: dict[ir.Value, Value]) -> None:
        """Trace all nodes of a graph."""
        names = source_names(graph)
        for node in graph:
            arguments = [None if value is None else self.value(known, value) for value in node.inputs]
            try:
                results = self.node(node, arguments, known)
            except CompileError as error:
                if error.located or isinstance(error, TakenError):
                    raise
                raise CompileError(f"{where(node)}: {error}", located=True) from error
            known.update(zip(node.outputs, results, strict=False))
            for value, result in zip(node.outputs, results, strict=False):
                self._name(result, names.get(value, ""))

    def _name(self, value: Value, name: str) -> None:
        """Remember what the source calls a value that is all of a vector, unless that has a name."""
        owners = self._owners(value) if name and isinstance(value, Symbol) else set()
        if len(owners) == 1:
            [vector] = owners
            if prod(self.space.unit_shape(value.shape)) == vector.size and not isinstance(
                vector.operation, Input | State
            ):
                vector.name = vector.name or name

    def node(self, node: ir.Node, arguments: list[Value | None], known: dict[ir.Value, Value]) -> list[Value]:
        """Trace a node."""
        if node.op_type == "Scan":
            return self.scan(node, arguments, known)
        if any(attribute.type is ir.AttributeType.GRAPH for attribute in node.attributes.values()):
            raise CompileError(f"the C backend does not know the operator {node.op_type}")
        symbolic = any(isinstance(argument, Symbol) for argument in arguments)
        if not symbolic or node.op_type in SIZES:
            return self._constants(node, arguments)
        computed = any(isinstance(argument, Symbol) for argument in arguments[1:])
        if node.op_type in MOVES and (node.op_type == "Concat" or not computed):
            return self.move(node, arguments)
        rule = self.rules.get(node.op_type)
        if rule is None and node.op_type in MOVES:
            raise CompileError("it moves numbers to computed places")
        if rule is None:
            raise CompileError(f"the C backend does not know the operator {node.op_type}")
        return rule(self, node, arguments)

    def _constants(self, node: ir.Node, arguments: list[Value | None]) -> list[Value]:
        """Run an operator on constants; what is made of one with a name is called like it."""
        results = evaluate(node, arguments)
        names = {name for value in arguments if value is not None and (name := self.called(value))}
        for result in results if len(names) == 1 else ():
            self.call(result, next(iter(names)))
        return list(results)

    def move(self, node: ir.Node, arguments: list[Value | None]) -> list[Value]:
        """Run an operator that moves numbers about, on the labels."""
        if node.op_type == "Concat":
            arguments = [self.symbol(part) if part is not None else None for part in arguments]
        return [self._over_time(Symbol(labels)) for labels in evaluate(node, arguments)]

    def _over_time(self, value: Symbol) -> Symbol:
        """Let what a context gives, repeated for all time steps, be that of each time step."""
        steps, labels = self.space.steps, value.labels
        axes = [axis for axis, size in enumerate(value.shape) if size == steps]
        if len(axes) != 1 or (labels % steps).any() or not all(map(self._is_context, self._owners(value))):
            return value
        count = np.arange(steps).reshape([-1 if axis in axes else 1 for axis in range(labels.ndim)])
        return Symbol(labels + count)

    def _is_context(self, vector: Vector) -> bool:
        """Whether numbers are made of contexts alone, and so the same at every time step."""
        contexts = {spec.name for spec in self.signature.inputs if spec.time_axis is None}
        match vector.operation:
            case Input(leaf=leaf):
                return leaf in contexts
            case State() | Final():
                return False
        return all(map(self._is_context, vector.sources()))

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
        units = self.space.units(value, value.shape)
        gather = Gather((Constant(np.array(units, value.dtype)),))
        return self.emit(gather, value.shape, self.c_type(str(value.dtype)))

    def scan(self, node: ir.Node, arguments: list[Value | None], known: dict[ir.Value, Value]) -> list[Value]:
        """Trace the step of a loop."""
        loop = Scan(node)
        body, count, (axes, out_axes) = loop.body, len(loop.states), loop.axes
        if loop.direction is None:
            raise CompileError("it runs in both directions")
        given = [self.symbol(value) for value in arguments[count:] if value is not None]
        sequences = [self._at_a_step(value, axis) for value, axis in zip(given, axes, strict=True)]
        self.inside = self._sweep(loop.reversed, [value for value in arguments if isinstance(value, Symbol)])
        inner = dict(known)
        states = [
            self._state(initial, value.shape)
            for initial, value in zip(arguments[:count], body.inputs, strict=False)
        ]
        inner.update(zip(body.inputs, [*states, *sequences], strict=True))
        self.walk(body, inner)
        results = [self.value(inner, value) for value in body.outputs]
        finals: list[Value] = []
        for state, after in zip(states, results, strict=False):
            [own] = self._owners(state)
            assert isinstance(own.operation, State)
            if np.broadcast_shapes(after.shape, state.shape) != state.shape:
                raise CompileError(f"a state of shape {state.shape} becomes one of shape {after.shape}")
            own.operation = replace(own.operation, following=self.view(after, state.shape, own.dtype))
            finals.append(self.emit(Final(state=own), state.shape, own.dtype))
        self.inside = None
        outer = [self._sequence(value, axis) for value, axis in zip(results[count:], out_axes, strict=True)]
        return [*finals, *outer]

    def _at_a_step(self, sequence: Symbol, axis: int) -> Symbol:
        """Give what a loop reads at a time step."""
        if self.space.axis(sequence, self.space.steps) != axis % len(sequence.shape):
            raise CompileError("it runs over another axis than time")
        return Symbol(np.take(sequence.labels, 0, axis))

    def _sweep(self, reverse: bool, reads: list[Symbol]) -> int:
        """Choose the walk over time that a loop takes part in, or add one."""
        sources = [each for value in reads for each in self._owners(value)]
        first = max((each.sweep for each in sources if not isinstance(each.operation, Input)), default=0)
        for number in range(first, len(self.sweeps)):
            if self.sweeps[number].reverse == reverse:
                return number
        self.sweeps.append(Sweep(reverse))
        return len(self.sweeps) - 1

    def _owners(self, value: Symbol) -> set[Vector]:
        places = np.unique(value.labels // (self.space.rows * self.space.steps))
        bases = np.searchsorted(self.space.bases, places, side="right") - 1
        return {self.space.vectors[base] for base in bases}

    def numbers_rows(self, value: Symbol) -> bool:
        """Whether a value is the number of the row."""
        return self._owners(value) <= self.row_numbers

    def _state(self, initial: Value | None, shape: ir.Shape | None) -> Symbol:
        """Give the symbol of a loop's state; it begins with leaves of the call's state or with constants."""
        assert initial is not None
        if not isinstance(initial, Symbol) and self.space.rows not in initial.shape:
            free = [k for k, size in enumerate(shape or ()) if not isinstance(size, int)]
            target = list(initial.shape)
            for axis in free[:1]:
                target[axis] = self.space.rows
            initial = np.broadcast_to(initial, target)
        units = self.space.views(initial, initial.shape)
        for view in units:
            if isinstance(view, View) and not isinstance(view.vector.operation, Input):
                raise CompileError("its state does not begin with one of the call's, nor with a constant")
        return self.emit(State(tuple(units)), initial.shape, self.dtype(initial))

    def _sequence(self, value: Value, axis: int) -> Value:
        """Give what a step emits for all time steps; a constant is the same at each."""
        if not isinstance(value, Symbol):
            return np.broadcast_to(
                np.expand_dims(value, axis), np.insert(value.shape, axis, self.space.steps)
            )
        return Symbol(np.stack([value.labels + step for step in range(self.space.steps)], axis))

    def dtype(self, value: Value) -> str:
        """Give the C type of a value's numbers."""
        if isinstance(value, Symbol):
            return next(iter(self._owners(value))).dtype if value.labels.size else FLOAT
        return self.c_type(str(value.dtype))

    def view(self, value: Value, shape: Any, dtype: str | None = None) -> View:
        """Give a value's numbers, broadcast to a shape, as a run of neighbours: gathered if they are none."""
        units = self.space.views(value, shape)
        if len(units) == 1 and isinstance(units[0], View):
            return units[0]
        size = sum(view.size for view in units)
        return View(self.add(Gather(tuple(units)), size, dtype or self.dtype(value)), 0, size)

    def operand(self, value: Value, shape: Any) -> Operand:
        """Give an argument of an elementwise operator, broadcast to a shape."""
        if isinstance(value, Symbol):
            return self.view(value, shape)
        numbers = np.array(self.space.units(value, shape), value.dtype)
        same = numbers.size and (numbers.tobytes() == numbers[:1].tobytes() * numbers.size)
        return Constant(numbers[:1] if same else numbers, self.called(value))
