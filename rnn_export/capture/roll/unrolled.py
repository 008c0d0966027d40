"""A loop over time steps, found in a trace of several.

A trace takes whatever Python a loop was written in, and unrolls it. Every node belongs to the last time step
that it reads, to none, or to the whole sequence, as what stands in front of the loop and behind it does::

    u = linear(x)                        whole
    u_1 = select(u, 0, 1)                time step 1         u_t = select(linear(x_t), 0, 0)
    h_1 = tanh(u_1 + h_0)                time step 1    =>   new = tanh(u_t + h)
    y = stack([h_0, h_1, h_2, ...])      whole               y_t = stack([new])

What a time step reads of the one before it is the state: of a chain of nodes the earliest that stands where
the first time step has a start that reads no sequence, h_0 and not its product with a matrix. Nodes of two
time steps that stand in the same place of the same computation follow each other; where they do not, the loop
is none that can be rolled up. What looks back over a whole sequence, as a convolution does, keeps what it
reads (``windows``), with a loop or without one.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from rnn_export.capture.roll.windows import (
    PLAIN,
    RECURRENT,
    Extent,
    NotRolledError,
    Window,
    argument,
    window,
)

aten = torch.ops.aten
WHOLE = "whole"
Time = int | str | None  # a time step, WHOLE, or None: it reads no sequence
FIRST = 1  # the time step that is taken: what it reads of the one before it is the state
PIECES = (aten.unbind.int, aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default)
COLLECTING = (aten.stack.default, aten.cat.default)
UNREAD = (
    *(aten.new_zeros.default, aten.new_ones.default, aten.new_full.default, aten.new_empty.default),
    *(aten.zeros_like.default, aten.ones_like.default, aten.full_like.default, aten.empty_like.default),
)


class Unrolled:
    """A trace of ``steps`` time steps: ``forward(*inputs)``.

    Args:
        graph: the trace, of functional operators; its nodes know their shapes.
        sequences: which of its placeholders are sequences.
        steps: how many time steps it has: no other size is the same.
        weights: what of its attributes comes from outside of it.
    """

    def __init__(
        self, graph: fx.Graph, sequences: Sequence[bool], steps: int, weights: Collection[str] = ()
    ) -> None:
        self.steps, self.weights = steps, weights
        self.inputs = [node for node in graph.nodes if node.op == "placeholder"]
        self.outputs: list[Node] = list(graph.find_nodes(op="output")[0].args[0])
        self.times: dict[Node, Time] = dict.fromkeys(self.inputs)
        self.times |= {node: WHOLE for node, is_one in zip(self.inputs, sequences, strict=True) if is_one}
        self.collected: dict[Node, tuple[Node, ...]] = {}
        self.extents = {node: PLAIN for node, time in self.times.items() if time == WHOLE}
        self.windows: dict[Node, Window] = {}
        self.sums: dict[Node, int] = {}  # over the time steps so far, and their axes
        self.turned = set[Node]()  # sequences whose last time step stands in front
        for node in graph.nodes:
            if node.op == "call_function":
                self.times[node] = self._time(node)
                if self.times[node] == WHOLE:
                    self.extents[node] = self._extent(node)
        self.next: dict[Node, Node] = {}
        for nodes in self.collected.values():
            for step in range(FIRST, steps - 1):
                self._follow(nodes[step], nodes[step + 1])
        last = [node for node, time in self.times.items() if time == steps - 1]
        for node in last:  # a state of which no output is collected
            for given in node.all_input_nodes:
                if self.times.get(given) == steps - 2 and given not in self.next:
                    self._find_next(given, last)
        for now, later in [*self.next.items()]:
            if self.times[now] == 0:
                self._begin(later, now)

    def _time(self, node: Node) -> Time:
        """Say to which time step a node belongs."""
        if node.target is aten.sym_size.int or node.target in UNREAD:
            return None  # no number of the sequence is read
        read = self.read(node)
        if read is not None:
            return read
        parts = self._parts(node)
        if parts is not None:
            return WHOLE
        found = {self.times.get(given) for given in node.all_input_nodes} - {None}
        if WHOLE in found and len(found) > 1:
            raise NotRolledError(f"{node.name} reads one time step and all of them")
        self._turn(node)
        return (
            WHOLE
            if found == {WHOLE}
            else max((time for time in found if isinstance(time, int)), default=None)
        )

    def _turn(self, node: Node) -> None:
        """Note whether what is made of sequences is turned around.

        Raises:
            NotRolledError: some of them are, and some are not.
        """
        given = {each in self.turned for each in node.all_input_nodes if self.times.get(each) == WHOLE}
        if len(given) > 1:
            raise NotRolledError(f"{node.name} reads sequences of both directions")
        flips = node.target is aten.flip.default and any(
            self._is_along_time(node.all_input_nodes[0], axis)
            for axis in node.args[1]  # type: ignore[union-attr]
        )
        if given and given.pop() != flips:
            self.turned.add(node)

    def _extent(self, node: Node) -> Extent:
        """Say how many entries a sequence has beside those of the time steps.

        Raises:
            NotRolledError: what it is made of has more than others.
        """
        if node in self.collected:
            return PLAIN
        found = window(node, self.steps, self.extents)
        given = {self.extents[each] for each in node.all_input_nodes if each in self.extents}
        if len(given) > 1 or (node.target in RECURRENT and given != {PLAIN}):
            raise NotRolledError(f"{node.name} reads time steps and others")
        flips = node.target is aten.flip.default
        if (node in self.turned and (found or node.target in RECURRENT)) or (flips and given != {PLAIN}):
            raise NotRolledError(f"{node.name} looks ahead")
        if node.target is aten.cumsum.default and given == {PLAIN}:
            axis = int(argument(node, 1, 0))
            if node.meta["val"].shape[axis] == self.steps and node not in self.turned:
                self.sums[node] = axis
        if found is None:
            return given.pop()
        self.windows[node] = found
        return found.extent(given.pop())

    def read(self, node: Node) -> int | None:
        """Give the time step that a node picks out of a whole sequence."""
        source, entry = node.args[0] if node.args else None, self._entry(node)
        if entry is None or not isinstance(source, Node):
            return None
        whole = source.args[0] if source.target in PIECES else source
        return self.steps - 1 - entry if whole in self.turned else entry

    def _entry(self, node: Node) -> int | None:
        """Give the place at which a node reads a sequence."""
        source = node.args[0] if node.args else None
        if not isinstance(source, Node):
            return None
        if node.target is torch.ops.aten.select.int and self._is_along_time(source, node.args[1]):
            return int(argument(node, 2, 0)) % self.steps
        if node.target is aten.slice.Tensor and self._is_along_time(source, argument(node, 1, 0)):
            start, end = argument(node, 2, 0), argument(node, 3, self.steps)
            start, end = (value + self.steps * (value < 0) for value in (start or 0, min(end, self.steps)))
            return start if end == start + 1 else None
        if getattr(node.target, "__name__", "") == "getitem" and source.target in PIECES:
            axis = argument(source, 1 if source.target is aten.unbind.int else 2, 0)
            whole = source.args[0]
            along = isinstance(whole, Node) and self._is_along_time(whole, axis)
            return int(argument(node, 1, 0)) if along and len(source.meta["val"]) == self.steps else None
        return None

    def _is_along_time(self, source: Node, axis: Any) -> bool:
        return self.times.get(source) == WHOLE and source.meta["val"].shape[axis] == self.steps

    def _parts(self, node: Node) -> tuple[Node, ...] | None:
        """Give what a node collects, one of each time step in their order."""
        if node.target not in COLLECTING:
            return None
        parts = tuple(node.args[0])  # type: ignore[arg-type]
        found = [self.times.get(part) for part in parts]
        if found not in ([*range(self.steps)], [*reversed(range(self.steps))]):
            return None
        if found[0]:
            self.turned.add(node)
            parts = parts[::-1]
        self.collected[node] = parts
        return parts

    def _follow(self, one: Node, other: Node) -> None:
        """Note that one node stands where another one stands a time step later, and so what both read.

        Raises:
            NotRolledError: they do not.
        """
        if self.next.setdefault(one, other) is not other:
            raise NotRolledError(f"{one.name} is followed by {self.next[one].name} and by {other.name}")
        if self.times[one] == 0:
            return  # the first time step may begin in its own way
        if one.target is not other.target:
            raise NotRolledError(f"{one.name} is not what {other.name} is")
        if self.read(one) is not None:
            self._alike(one.args[0], other.args[0])
            return
        self._alike(one.args, other.args)
        self._alike(one.kwargs, other.kwargs)

    def _find_next(self, node: Node, later: Sequence[Node]) -> None:
        """Find what follows a node among those of the next time step, if anything does."""
        known = dict(self.next)
        for other in later:
            if other.target is node.target:
                try:
                    self._follow(node, other)
                except NotRolledError:
                    self.next = dict(known)
                else:
                    return

    def _begin(self, node: Node, first: Node) -> None:
        """Move nodes that the time step before ends with to the one that reads them: the rest is the state.

        Those of which the first time step has its own, made of what the loop begins with::

            h_0 = tanh(x_0 + mm(zeros, U))
            h_1 = tanh(x_1 + mm(h_0, U))        the state is h_0, not mm(h_0, U)

        Args:
            node: of the time step that is taken, or begun by it.
            first: what stands in its place in the first time step.
        """
        if node.target is not first.target or self.read(node) is not None:
            return
        for given, begins in zip(node.all_input_nodes, first.all_input_nodes, strict=False):
            if self.times.get(given) == FIRST:
                self._begin(given, begins)
            if self.times.get(given) != 0 or self.times.get(begins) is not None or given not in self.next:
                continue
            earlier = [each for each in given.all_input_nodes if self.times.get(each) in (0, FIRST)]
            if given.target is not begins.target or self.read(given) is not None or len(earlier) != 1:
                continue
            known = dict(self.next)
            try:
                self._alike(given.args, self.next[given].args)
                self._alike(given.kwargs, self.next[given].kwargs)
            except NotRolledError:
                self.next = known
            else:
                self.times[given] = FIRST
                self._begin(given, begins)

    def _alike(self, one: Any, other: Any) -> None:
        """Compare what two nodes are given."""
        if isinstance(one, Node) and isinstance(other, Node):
            if self.next.get(one) is other:
                return
            times = self.times.get(one), self.times.get(other)
            if isinstance(times[0], int) and isinstance(times[1], int):
                if times[1] != times[0] + 1:
                    raise NotRolledError(f"{one.name} and {other.name} are not a time step apart")
                self._follow(one, other)
            elif one is not other:
                if times[0] != times[1] or one.target is not other.target:
                    raise NotRolledError(f"{one.name} is not {other.name}")
                self._alike(one.args, other.args)
                self._alike(one.kwargs, other.kwargs)
        elif isinstance(one, tuple | list) and isinstance(other, tuple | list) and len(one) == len(other):
            for pair in zip(one, other, strict=True):
                self._alike(*pair)
        elif isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            for name in one:
                self._alike(one[name], other[name])
        elif type(one) is not type(other) or one != other:
            raise NotRolledError(f"{one} is not {other}")

    def at_first(self, node: Node) -> Node | None:
        """Give what stands at the time step that is taken where a node of the last one stands."""
        before = {other: one for one, other in self.next.items()}
        for _ in range(self.steps - 1 - FIRST):
            found = before.get(node)
            if found is None:
                return None
            node = found
        return node
