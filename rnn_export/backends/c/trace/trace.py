"""From a Program to a :class:`Net`: walk over the graph with labels in the place of numbers.

What has no symbol among its arguments is computed here and now; what only moves numbers about is run on the
labels; for all else there is a rule in :mod:`rnn_export.backends.c.trace.rules`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.flattened import rows_of_steps
from rnn_export.backends.c.trace.frames import settled
from rnn_export.backends.c.trace.graph import (
    Final,
    Input,
    State,
    Vector,
)
from rnn_export.backends.c.trace.loops import scan
from rnn_export.backends.c.trace.nodes import evaluate, where
from rnn_export.backends.c.trace.numbered import with_numbers
from rnn_export.backends.c.trace.order import in_own_order
from rnn_export.backends.c.trace.pairs import whole
from rnn_export.backends.c.trace.rows_apart import with_rows_apart
from rnn_export.backends.c.trace.source_names import source_names
from rnn_export.backends.c.trace.symbols import OfRow, Space, Symbol, TakenError, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError
from rnn_export.program.computed import sources
from rnn_export.program.program import Program
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME, Length
from rnn_export.signature.tensors import Array, TensorSpec

MOVES = frozenset(
    """
    Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Reshape ReverseSequence Slice
    SpaceToDepth Split Squeeze Tile Transpose Unsqueeze
    """.split()  # noqa: SIM905
)
SIZES = frozenset({"Shape", "Size"})
PICKS = frozenset({"Gather", "Slice", "Squeeze"}) | SIZES  # what takes some sizes out of all
UNSETTLED = frozenset({"InstanceNormalization"})  # whose rule finds the time steps by itself
Rule = Callable[["Tracer", ir.Node, list[Value | None]], list[Value]]
Rules = Mapping[str, Rule]


class Tracer(Tracing):
    """A walk over a Program's graph, with sizes that stand for batch and time."""

    def __init__(
        self, program: Program, signature: Signature, space: Space, rules: Rules, prefix: str = ""
    ) -> None:
        super().__init__(space)
        self.counts_steps = not signature.streamable
        self.decided: list[Array] = []  # the numbers by which branches were chosen
        self.rules, self.prefix = rules, prefix
        self.program, self.signature = program, signature
        self.sizes = {TIME: space.steps, BATCH: space.rows}
        self.sizes |= {name: space.size(Length(base=name)) for name in signature.free_sizes}

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
        return self.results(graph, known)

    def results(self, graph: ir.Graph, known: dict[ir.Value, Value]) -> list[Value]:
        """Trace all nodes of a graph; give its results."""
        self.walk(graph, known)
        return [self.value(known, value) for value in graph.outputs]

    def leaf(self, spec: TensorSpec) -> Symbol:
        """Give the symbol of an argument of the call.

        Raises:
            CompileError: its dtype is none of C's.
        """
        shape = spec.sized(**self.sizes)
        vector = Vector(Input(leaf=spec.name), prod(self.space.unit_shape(shape)), self.c_type(spec.dtype))
        vector.clock = self.space.clock(shape)
        self.vectors.append(vector)
        return self.space.new(vector, shape)

    def value(self, known: Mapping[ir.Value, Value], value: ir.Value) -> Value:
        """Give what is known of a value: its symbol, or the numbers of a constant."""
        if value in known:
            return known[value]
        if value.const_value is None:
            raise CompileError(f"nothing is known of {value.name!r}")
        array = value.const_value.numpy()
        names = sources(str(value.name))
        if all(name.startswith(self.prefix) for name in names):
            self.call(array, ", ".join(name.removeprefix(self.prefix) for name in names))
        return array

    def walk(self, nodes: Iterable[ir.Node], known: dict[ir.Value, Value]) -> None:
        """Trace some nodes of a graph."""
        nodes = list(nodes)
        names = source_names(nodes)
        for node in nodes:
            if all(value in known for value in node.outputs):
                continue  # it was made ahead of a loop
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
        owners = self.owners(value) if name and isinstance(value, Symbol) else set()
        if len(owners) == 1:
            [vector] = owners
            if prod(self.space.unit_shape(value.shape)) == vector.size and not isinstance(
                vector.operation, Input | State
            ):
                vector.name = vector.name or name

    def node(self, node: ir.Node, arguments: list[Value | None], known: dict[ir.Value, Value]) -> list[Value]:
        """Trace a node."""
        if has_graphs(node):
            return self._with_graphs(node, arguments, known)
        if self.counts_steps and self.inside is None:
            numbered = with_numbers(self, node, arguments)
            if isinstance(numbered, Symbol):
                return [numbered]
            arguments = numbered
        symbolic = any(isinstance(argument, Symbol) for argument in arguments)
        if not symbolic or node.op_type in SIZES:
            return self._constants(node, arguments)
        computed = any(isinstance(argument, Symbol) for argument in arguments[1:])
        if node.op_type == "Gather" and isinstance(arguments[1], OfRow):
            return self.rules["Gather"](self, node, arguments)
        if node.op_type in MOVES and (node.op_type == "Concat" or not computed):
            return self.move(node, arguments)
        rule = self.rules.get(node.op_type)
        if rule is None and node.op_type in MOVES:
            raise CompileError("it moves numbers to computed places")
        if rule is None:
            raise CompileError(f"the C backend does not know the operator {node.op_type}")
        return in_own_order(self.space, arguments, partial(self._ruled, node, rule))

    def _with_graphs(
        self, node: ir.Node, arguments: list[Value | None], known: dict[ir.Value, Value]
    ) -> list[Value]:
        """Trace a loop, or the branch that sizes alone choose."""
        if node.op_type == "Scan":
            return in_own_order(self.space, arguments, partial(self._scan, node, known))
        if node.op_type != "If" or not isinstance(arguments[0], np.ndarray):
            raise CompileError(f"the C backend does not know the operator {node.op_type}")
        self.decided += _decides(node.inputs[0], known)
        taken = "then_branch" if arguments[0].all() else "else_branch"
        return self.results(node.attributes[taken].as_graph(), dict(known))

    def _ruled(self, node: ir.Node, rule: Rule, arguments: list[Value | None]) -> list[Value]:
        """Apply the rule of an operator."""
        results = rows_of_steps(self, arguments, lambda each: rule(self, node, each))
        if results is None:
            unsettled = node.op_type in UNSETTLED
            results = rule(self, node, arguments if unsettled else [*map(self.plain, arguments)])
        return results

    def _scan(
        self, node: ir.Node, known: Mapping[ir.Value, Value], arguments: list[Value | None]
    ) -> list[Value]:
        apart = with_rows_apart(self, arguments, partial(self._scan, node, known))
        if apart is not None:
            return apart
        body = node.attributes["body"].as_graph()
        outer = dict(known)
        read = self._ahead(body, outer)
        return scan(self, node, arguments, read, lambda graph, inner: self.results(graph, outer | inner))

    def _ahead(self, body: ir.Graph, known: dict[ir.Value, Value]) -> list[Symbol]:
        """Trace what a loop's body makes of contexts with free sizes alone; give what it reads as a whole.

        ``tanh(W memory + U h)``: the product with ``memory`` is the same at all time steps.
        """
        if self.inside is not None:
            return []
        made = {value: node for node in body for value in node.outputs}
        waiting: set[ir.Value] = {*body.inputs}  # and what is made of them
        for node in body:
            reads = _inputs(node)
            if has_graphs(node) or not waiting.isdisjoint(reads):
                waiting |= {*node.outputs}
                continue
            given = [known.get(value) for value in reads if value in known or value in made]
            constant = not any(each is None or isinstance(each, Symbol) for each in given)
            if constant or any(each is not None and self._is_whole(each) for each in given):
                self._with_sources(node, made, known)
        rest = (node for node in body if not waiting.isdisjoint(node.outputs))
        read = dict.fromkeys(value for node in rest for value in _inputs(node) if value in known)
        for value in read:
            found = known[value]
            if isinstance(found, Symbol) and self._is_whole(found):
                known[value] = whole(self, settled(self, found))
        found_all = [known[value] for value in read]
        return [found for found in found_all if isinstance(found, Symbol) and self._ends(found)]

    def _with_sources(
        self, node: ir.Node, made: Mapping[ir.Value, ir.Node], known: dict[ir.Value, Value]
    ) -> None:
        """Trace a node, and before it those that make what it reads."""
        for value in _inputs(node):
            if value in made and value not in known:
                self._with_sources(made[value], made, known)
        self.walk([node], known)

    def _is_whole(self, value: Value) -> bool:
        """Whether a value is that of all steps of a walk, or of some of them: a step does not read it so."""
        if not isinstance(value, Symbol):
            return bool(self.space.clock_axes(value.shape))
        return any(vector.clock is not None for vector in self.owners(value))

    def _ends(self, value: Symbol) -> bool:
        """Whether a walk has to end before a value is there."""
        return any(
            vector.clock is not None or isinstance(vector.operation, Final) or self.walks.is_once(vector)
            for vector in self.owners(value)
        )

    def plain(self, value: Value | None) -> Any:
        """Give a value whose numbers are at each place of its time axis those of that time step."""
        if isinstance(value, OfRow):
            raise CompileError("it computes with places in all rows of a batch")
        if isinstance(value, Symbol):
            return settled(self, value)
        return value if value is None or self.step_numbers(value) is None else self.symbol(value)

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
        return [Symbol(labels) for labels in evaluate(node, arguments)]


def _inputs(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None]


def has_graphs(node: ir.Node) -> bool:
    """Whether a node is a loop or a branch."""
    return any(attribute.type is ir.AttributeType.GRAPH for attribute in node.attributes.values())


def _decides(condition: ir.Value | None, known: Mapping[ir.Value, Value]) -> Iterator[Array]:
    """List the constants that a condition was computed from, back to the sizes that were picked out."""
    waiting = [condition]
    while waiting:
        value = waiting.pop()
        found = known.get(value) if value is not None else None
        node = value.producer() if value is not None else None
        if isinstance(found, np.ndarray) and node is not None:
            yield found
            waiting += [] if node.op_type in PICKS else [*node.inputs]
