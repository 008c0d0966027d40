"""A loop in a trace, in whose place a submodule is called."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import getitem
from typing import Any

from torch import fx

from rnn_export.capture.inline.body import Loop
from rnn_export.capture.inline.entries import LAST, Along, Last, entry, joined, longer, read_of, with_axis
from rnn_export.capture.roll.windows import NotRolledError


class Replaced:
    """A loop in one trace, in whose place a submodule is called.

    Args:
        graph: the trace.
        loop: the loop.
        results: the places of the nodes that are outputs of the submodule.
        ends: those of which the last entry is read alone.
        never: whether it may run no time step at all. It is given one more then, of which nothing is read: a
            ``Scan`` of none is refused by ONNX Runtime.
    """

    def __init__(
        self, graph: fx.Graph, loop: Loop, results: Sequence[int], ends: Sequence[int], *, never: bool
    ) -> None:
        self.graph, self.loop, self.never = graph, loop, never
        self.results, self.ends = [*results], [*ends]

    def call(self, name: str) -> None:
        """Let the submodule be called.

        Raises:
            NotRolledError: what goes into the loop is made of what comes out of it.
        """
        graph, loop = self.graph, self.loop
        inside = {node for row in loop.rows for node in row}
        with graph.inserting_before(self._point(inside).next):
            sequences = [self._sequence(read) for read in loop.reads]
            state = [tuple(loop.begins)] if loop.begins else []
            called = graph.call_module(name, (*sequences, *loop.contexts, *state))
            outputs = dict(zip(self.results, self._outputs(called), strict=True))
            last = self._last(called, outputs)
            if self.never:
                outputs = {place: self._without_one(output) for place, output in outputs.items()}
        for place, output in outputs.items():
            if place in last:
                output.meta[LAST] = last[place]
        with graph.inserting_before(called.next):
            states = {place: read_of(graph, last[place]) for place in self.ends}
        for number, row in enumerate(loop.rows):
            for place, node in enumerate(row):
                for user in [user for user in node.users if user not in inside]:
                    with graph.inserting_before(user):
                        own = states[place] if place in self.ends else entry(graph, outputs[place], 0, number)
                    user.replace_input_with(node, own)
        for row in reversed(loop.rows):
            for node in reversed(row):
                graph.erase_node(node)

    def _point(self, inside: Collection[fx.Node]) -> fx.Node:
        """Give the node behind which all is there that the loop takes."""
        order = {node: place for place, node in enumerate(self.graph.nodes)}
        given = [*(read.source for read in self.loop.reads), *self.loop.contexts, *self.loop.begins]
        users = [user for node in inside for user in node.users if user not in inside]
        point: fx.Node = max(*given, *self.graph.find_nodes(op="placeholder"), key=order.__getitem__)
        if any(order[user] <= order[point] for user in users):
            raise NotRolledError("what a loop takes is made of what it gives")
        return point

    def _sequence(self, read: Along) -> fx.Node:
        """Give what the loop goes along."""
        whole = replace(read, count=self.loop.count).whole(self.graph)
        if not self.never:
            return whole
        return longer(self.graph, whole, read.axis)

    def _outputs(self, called: fx.Node) -> Iterator[fx.Node]:
        for number, place in enumerate(self.results):
            node, value = self.graph.call_function(getitem, (called, number)), self._value(place)
            node.meta["val"] = value.unsqueeze(0).expand(self.loop.count + self.never, *value.shape)
            yield node

    def _last(self, called: fx.Node, outputs: Mapping[int, fx.Node]) -> dict[int, Last]:
        """Say where the last entry of each state is: behind no time steps it is what that begins with."""
        found = dict[int, Last]()
        for number, (begins, place) in enumerate(self.loop.states):
            if not self.never:
                found[place] = Last(called, (len(self.results), number), self._value(place))
            elif place in outputs:
                begun = with_axis(self.graph, begins, 0)
                every = joined(self.graph, [begun, outputs[place]], 0)
                found[place] = Last(every, (self.loop.count,), self._value(place))
        return found

    def _value(self, place: int) -> Any:
        return self.loop.rows[0][place].meta["val"]

    def _without_one(self, output: fx.Node) -> fx.Node:
        return Along(output, 0, 0, 1, self.loop.count).whole(self.graph)
