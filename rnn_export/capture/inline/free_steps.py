"""One graph for any number of time steps, of traces of several: numbers that change are made of them.

::

    8 time steps:  view(y, [3, 8, 2])
    9 time steps:  view(y, [3, 9, 2])       =>      view(y, [3, T, 2])        T = size(x, 1)
"""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch.fx import Node
from torch.utils import _pytree as pytree

from rnn_export.capture.inline.time_step import call
from rnn_export.capture.inline.time_step import number as as_number
from rnn_export.capture.roll.windows import NotRolledError
from rnn_export.signature.sizes import Length, fit

aten = torch.ops.aten


def with_free_steps(traces: Mapping[int, fx.Graph], timed: int, axis: int) -> fx.Graph:
    """Give the graph that holds for any number of time steps.

    Args:
        traces: graphs for some numbers of time steps.
        timed: the number of the placeholder that has so many entries, along ``axis``.

    Raises:
        NotRolledError: they are not alike, or a number in them is not made of the time steps.
    """
    listed = [[*graph.nodes] for graph in traces.values()]
    if len({len(nodes) for nodes in listed}) > 1:
        raise NotRolledError("traces of several numbers of time steps are not alike")
    made = _Made(len(listed), timed, axis, [*traces])
    for column in zip(*listed, strict=True):
        made.add(column)
    made.graph.lint()
    return made.graph


class _Made:
    """The graph, as far as it was made."""

    def __init__(self, traces: int, timed: int, axis: int, steps: list[int]) -> None:
        self.graph, self.steps = fx.Graph(), steps
        self.timed, self.axis = timed, axis
        self.known: list[dict[Node, Node]] = [{} for _ in range(traces)]
        self.inputs = list[Node]()
        self.time: Node | None = None
        self.lengths = dict[Length, Node]()

    def add(self, column: tuple[Node, ...]) -> None:
        """Add the node that stands in one place of all traces."""
        first = column[0]
        if any((node.op, str(node.target)) != (first.op, str(first.target)) for node in column):
            raise NotRolledError(f"where {first.name} stands is something else for other time steps")
        if first.op == "placeholder":
            own = self.graph.placeholder(first.name)
            self.inputs.append(own)
        elif first.op == "get_attr":
            own = self.graph.get_attr(str(first.target))
        else:
            own = self._called(column)
        own.meta = dict(first.meta)
        for known, node in zip(self.known, column, strict=True):
            known[node] = own

    def _called(self, column: tuple[Node, ...]) -> Node:
        flat = [pytree.tree_flatten((node.args, node.kwargs)) for node in column]
        if any(spec != flat[0][1] for _, spec in flat):
            raise NotRolledError(f"{column[0].name} is given something else for other time steps")
        leaves = [self._leaf(each) for each in zip(*(leaves for leaves, _ in flat), strict=True)]
        args, kwargs = pytree.tree_unflatten(leaves, flat[0][1])
        first = column[0]
        if first.op == "output":
            return self.graph.create_node("output", "output", args)
        if first.target is aten.sym_size.int:
            return self.graph.call_method("size", args)
        if first.op != "call_function":
            return self.graph.create_node(first.op, first.target, args, kwargs)
        return call(self.graph, first, args, kwargs)

    def _leaf(self, values: tuple[Any, ...]) -> Any:
        """Give one argument for any number of time steps."""
        first = values[0]
        if isinstance(first, Node):
            own = [known.get(value) for known, value in zip(self.known, values, strict=True)]
            if own[0] is None or any(each is not own[0] for each in own):
                raise NotRolledError(f"{first.name} is another one for other time steps")
            return own[0]
        if all(type(value) is type(first) and value == first for value in values):
            return first
        if not all(type(value) is int for value in values):
            raise NotRolledError(f"{first} is {values[1]} for other time steps")
        length = fit(dict(zip(self.steps, values, strict=True)))
        if length is None:
            raise NotRolledError(f"{values} are not made of {self.steps} time steps")
        return self._length(length)

    def _length(self, length: Length) -> Node:
        """Write a number that is made of the time steps."""
        if length in self.lengths:
            return self.lengths[length]
        if self.time is None:
            self.time = as_number(self.graph.call_method("size", (self.inputs[self.timed], self.axis)))
        node = self.time
        for function, number, none in (
            (operator.mul, length.times, 1),
            (operator.add, length.more, 0),
            (operator.floordiv, length.by, 1),
            (operator.mul, length.each, 1),
            (operator.add, length.plus, 0),
        ):
            if number != none:
                node = as_number(self.graph.call_function(function, (node, number)))
        self.lengths[length] = node
        return node
