"""One time step of a loop that a trace unrolled, as a graph of its own."""

from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from rnn_export.capture.roll import windows
from rnn_export.capture.roll.unrolled import FIRST, Unrolled
from rnn_export.capture.roll.windows import PLAIN, RECURRENT, NotRolledError, Window, argument

aten = torch.ops.aten
Size = int | torch.SymInt


@dataclass(frozen=True)
class Step:
    """One time step: ``(*inputs, *state, *weights) -> (*outputs, *new_state)``, inputs with their time axes.

    ``state`` are shapes and dtypes of states, as the trace has them; ``weights`` names of attributes.
    """

    graph: fx.Graph
    state: list[tuple[list[Size], torch.dtype]]
    weights: list[str]


def one_step(unrolled: Unrolled) -> Step:
    """Give one time step.

    Raises:
        NotRolledError: it reads what is no state.
    """
    made = _Step(unrolled)
    if any(
        unrolled.extents.get(node, PLAIN) != PLAIN or node in unrolled.turned for node in unrolled.outputs
    ):
        raise NotRolledError("an output has other time steps than the inputs")
    for node in unrolled.extents:  # their states in the order in which they are met
        keeps = node in unrolled.windows and unrolled.windows[node].kept
        if keeps or node in unrolled.sums or node.target in RECURRENT:
            made.emitted(node)
    outputs = [made.emitted(node) for node in unrolled.outputs]
    new = list[Node]()
    while len(new) < len(made.state):  # a new state may read others
        old = [*made.state][len(new)]
        if old not in unrolled.next:
            raise NotRolledError(f"{old.name} is read, and nothing says what follows it")
        new.append(made.emitted(unrolled.next[old]))
    made.graph.output((*outputs, *new, *made.kept.values()))
    return made.finished()


class _Step:
    """Writes the nodes of one time step into a graph of their own."""

    def __init__(self, unrolled: Unrolled) -> None:
        self.unrolled, self.graph = unrolled, fx.Graph()
        self.known: dict[Node, Node] = {node: self.graph.placeholder(node.name) for node in unrolled.inputs}
        self.state: dict[Node, Node] = {}
        self.kept: dict[Node, Node] = {}  # what is new of it
        self.shapes: list[tuple[list[Size], torch.dtype]] = []  # of what is kept
        self.weights: dict[str, Node] = {}

    def emitted(self, node: Node) -> Node:
        """Give a node's own in the step."""
        time = self.unrolled.times.get(node)
        if node in self.known:
            return self.known[node]
        if time == 0:
            self.state[node] = self.known[node] = self.graph.placeholder(f"state_{len(self.state)}")
            return self.known[node]
        if time == self.unrolled.steps - 1 and (first := self.unrolled.at_first(node)):
            self.known[node] = self.emitted(first)
            return self.known[node]
        if isinstance(time, int) and time not in (FIRST, self.unrolled.steps - 1):
            raise NotRolledError(f"{node.name}, of time step {time}, is read from outside of it")
        self.known[node] = self._attribute(node) if node.op == "get_attr" else self._copied(node)
        return self.known[node]

    def _attribute(self, node: Node) -> Node:
        name = str(node.target)
        if name not in self.unrolled.weights:
            return self.graph.node_copy(node)
        if name not in self.weights:
            self.weights[name] = self.graph.placeholder(f"weight_{len(self.weights)}")
        return self.weights[name]

    def _copied(self, node: Node) -> Node:
        if node in self.unrolled.windows:
            return self._windowed(node, self.unrolled.windows[node])
        if node.target in RECURRENT and not isinstance(self.unrolled.times.get(node), int):
            return self._recurrent(node)
        if node.target is aten.sym_size.int:
            return self.graph.call_method("size", fx.map_arg(node.args, self.emitted))
        if node in self.unrolled.sums:
            return self._added(node, self.unrolled.sums[node])
        extent = self.unrolled.extents.get(node, PLAIN)
        args: Any = windows.sized(node, self.unrolled.steps + extent.more, extent.before + 1)
        if node in self.unrolled.collected:
            args = ([self.unrolled.collected[node][FIRST]], *args[1:])
        elif self.unrolled.read(node) is not None:
            args = _of_one_step(node)
        free = any(isinstance(each, list) and any(map(_is_size, each)) for each in args)
        args, named = fx.map_arg((args, dict(node.kwargs)), self.emitted)
        if free:
            return self._sized(node, args, named)
        return self.graph.call_function(node.target, args, named)  # type: ignore[arg-type]

    def _sized(self, node: Node, args: Any, named: Any) -> Node:
        """Let a node that is given sizes be one of which ``torch.jit.trace`` fixes none, as of ATen's own."""
        name = str(node.target.overloadpacket.__name__)  # type: ignore[union-attr]
        name = "reshape" if name in ("view", "_unsafe_view") else name
        if isinstance(args[0], Node) and hasattr(torch.Tensor, name):
            return self.graph.call_method(name, args, named)
        return self.graph.call_function(getattr(torch, name, node.target), args, named)  # type: ignore[arg-type]

    def _windowed(self, node: Node, found: Window) -> Node:
        """Let a node that looks back read what is kept, and keep what is new.

        Raises:
            NotRolledError: its entries come after the time step that they are of.
        """
        given: Any = node.args[0]
        source = given[-1] if node.target is aten.cat.default else given
        behind = self.unrolled.extents[node]
        if behind.before < 0:
            raise NotRolledError(f"{node.name} has fewer entries than there are time steps")
        entries = self.unrolled.extents[source].before + 1
        if found.kept:
            while self.unrolled.extents[source].before < 0:
                shift = self.unrolled.windows.get(source)
                if shift is None or shift.kept or shift.dropped or shift.reach:
                    raise NotRolledError(f"{source.name} has fewer entries than there are time steps")
                source = source.args[0]
            read, entries = self._with_kept(source, found), found.kept + 1
        else:
            read = self.emitted(source)
        if node.target not in (aten.cat.default, aten.slice.Tensor):
            own = fx.map_arg((windows.in_step(node, found), dict(node.kwargs)), self.emitted)
            read = self.graph.call_function(node.target, (read, *own[0]), own[1])  # type: ignore[arg-type]
            entries -= found.reach
        if (found.dropped, behind.before + 1) == (0, entries):
            return read
        end = found.dropped + behind.before + 1
        return self.graph.call_function(aten.slice.Tensor, (read, found.axis, found.dropped, end))

    def _with_kept(self, source: Node, found: Window) -> Node:
        """Put what is kept of a sequence, zeros at first, in front of its entry of this time step."""
        if self.unrolled.extents[source] != PLAIN:
            raise NotRolledError(f"{source.name} has entries of other time steps")
        shape = list(source.meta["val"].shape)
        shape[found.axis] = found.kept
        old = self._taken(shape, source.meta["val"].dtype)
        both = self.graph.call_function(aten.cat.default, ([old, self.emitted(source)], found.axis))
        self.kept[old] = self.graph.call_function(aten.slice.Tensor, (both, found.axis, 1, found.kept + 1))
        return both

    def _recurrent(self, node: Node) -> Node:
        """Let a recurrent operator begin with a state, and keep its new one."""
        begun = windows.states(node, self.unrolled.steps)
        values = [each.meta["val"] for each in begun]
        old = [self._taken(list(value.shape), value.dtype) for value in values]
        source, rest = fx.map_arg((node.args[0], node.args[2:]), self.emitted)
        given: Any = old if isinstance(node.args[1], list | tuple) else old[0]
        made = self.graph.call_function(node.target, (source, given, *rest))  # type: ignore[arg-type]
        for place, each in enumerate(old):
            self.kept[each] = self.graph.call_function(getitem, (made, place + 1))
        return made

    def _added(self, node: Node, axis: int) -> Node:
        """Add the entry of this time step to the sum of those before it, which is kept."""
        shape = list(node.meta["val"].shape)
        shape[axis] = 1
        old = self._taken(shape, node.meta["val"].dtype)
        self.kept[old] = self.graph.call_function(
            aten.add.Tensor, (old, self.emitted(node.all_input_nodes[0]))
        )
        return self.kept[old]

    def _taken(self, shape: list[Size], dtype: torch.dtype) -> Node:
        """Let the step take one more state; what is new of it is not known yet."""
        node = self.graph.placeholder(f"kept_{len(self.kept)}")
        self.kept[node] = node
        self.shapes.append((shape, dtype))
        return node

    def finished(self) -> Step:
        """Give the step, its placeholders in front of all else."""
        inputs = [self.known[node] for node in self.unrolled.inputs]
        for node in reversed([*inputs, *self.state.values(), *self.kept, *self.weights.values()]):
            first = next(iter(self.graph.nodes))
            if node is not first:
                first.prepend(node)
        self.graph.lint()
        values = [node.meta["val"] for node in self.state]
        state = [*((list(value.shape), value.dtype) for value in values), *self.shapes]
        return Step(self.graph, state, [*self.weights])


def _is_size(given: Any) -> bool:
    return isinstance(given, Node) and isinstance(given.meta.get("val"), torch.SymInt)


def _of_one_step(node: Node) -> tuple[Any, ...]:
    """Let a node read the only time step that there is."""
    if node.target is aten.select.int:
        return (*node.args[:2], 0)
    if node.target is aten.slice.Tensor:
        return (node.args[0], argument(node, 1, 0), 0, 1)
    return (node.args[0], 0)
