"""Entries that a trace reads of tensors, written one way, and what puts them together again.

::

    u = unbind(x, 1);  getitem(u, 3)           =>     select(x, 1, 3)
    slice(x, 1, 3, 4)                          =>     unsqueeze(select(x, 1, 3), 1)
    stack([select(y, 0, 0), select(y, 0, 1), ..., select(y, 0, T - 1)], 1)       =>      movedim(y, 0, 1)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import getitem
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from rnn_export.capture.inline.repeats import FEWEST
from rnn_export.capture.roll.windows import argument

aten = torch.ops.aten
END = 2**63 - 1
LAST = "last"  # what may be known of a node: how to read its last entry, of no entries as well


@dataclass(frozen=True)
class Along:
    """Entries ``first + by * number`` of a tensor along an axis."""

    source: Node
    axis: int
    first: int
    by: int
    count: int

    @property
    def size(self) -> int:
        """How many entries there are."""
        return int(_size(self.source, self.axis))

    def entry(self, graph: fx.Graph, number: int) -> Node:
        """Read one of the entries."""
        return entry(graph, self.source, self.axis, self.first + self.by * number)

    def whole(self, graph: fx.Graph) -> Node:
        """Give the entries as one tensor, written into a graph."""
        node, size, first, by = self.source, self.size, self.first, self.by
        if by < 0:
            node = _made(graph, aten.flip.default, (node, [self.axis]), lambda val: val.flip(self.axis))
            first, by = size - 1 - first, -by
        if (first, by, self.count) == (0, 1, size):
            return node
        end = first + by * (self.count - 1) + 1
        return _made(
            graph,
            aten.slice.Tensor,
            (node, self.axis, first, end, by),
            lambda val: torch.ops.aten.slice(val, self.axis, first, end, by),
        )


@dataclass(frozen=True)
class Last:
    """The last entry of what a loop gives: its state behind the loop, in a result of a call.

    It is the entry of a tensor if there is one number, otherwise of results in results.
    """

    source: Node
    numbers: tuple[int, ...]
    value: Any


def read_of(graph: fx.Graph, last: Last) -> Node:
    """Write that the last entry is read."""
    node = last.source
    if len(last.numbers) == 1:
        return entry(graph, node, 0, last.numbers[0])
    for number in last.numbers:
        node = graph.call_function(getitem, (node, number))
    node.meta["val"] = last.value
    return node


def joined(graph: fx.Graph, parts: list[Node], axis: int) -> Node:
    """Write that tensors are joined along an axis."""
    node = graph.call_function(aten.cat.default, (parts, axis))
    node.meta["val"] = torch.cat([part.meta["val"] for part in parts], axis)
    return node


def longer(graph: fx.Graph, node: Node, axis: int) -> Node:
    """Write that zeros follow a tensor, as one more entry along an axis."""
    pads = [*[0, 0] * (node.meta["val"].dim() - 1 - axis), 0, 1]
    target = aten.constant_pad_nd.default
    return _made(graph, target, (node, pads), lambda val: target(val, pads))


def _made(graph: fx.Graph, target: Any, args: tuple[Any, ...], shape: Any) -> Node:
    node = graph.call_function(target, args)
    node.meta["val"] = shape(args[0].meta["val"])
    return node


def with_axis(graph: fx.Graph, node: Node, axis: int) -> Node:
    """Write that a tensor has one more axis."""
    return _made(graph, aten.unsqueeze.default, (node, axis), lambda val: val.unsqueeze(axis))


def _moved(graph: fx.Graph, node: Node, axis: int, to: int) -> Node:
    if axis == to:
        return node
    return _made(graph, aten.movedim.int, (node, axis, to), lambda val: val.movedim(axis, to))


def _flattened(graph: fx.Graph, node: Node, axis: int) -> Node:
    return _made(
        graph, aten.flatten.using_ints, (node, axis, axis + 1), lambda val: val.flatten(axis, axis + 1)
    )


def _size(node: Node, axis: int) -> Any:
    return node.meta["val"].shape[axis]


def entry(graph: fx.Graph, source: Node, axis: int, number: int) -> Node:
    """Write that one entry of a tensor is read."""
    return _made(graph, aten.select.int, (source, axis, number), lambda val: val.select(axis, number))


def with_entries(graph: fx.Graph) -> None:
    """Let all reads of single entries be ``select``, of an axis and an entry counted from the front.

    Each stands in front of who reads it: in a loop where the loop reads it.
    """
    for node in [*graph.nodes]:
        if _is_all(node):
            node.replace_all_uses_with(node.args[0])
            continue
        found = _read(node)
        if found is not None:
            source, axis, number, keeps = found
            _read_by_each(graph, node, source, axis, number, keeps=keeps)
    graph.eliminate_dead_code()


def _is_all(node: Node) -> bool:
    """Whether a slice leaves nothing out."""
    if node.target is not aten.slice.Tensor:
        return False
    size, end = _size(node.args[0], argument(node, 1, 0)), argument(node, 3, None)  # type: ignore[arg-type]
    known = isinstance(size, int) and isinstance(end, int) and end >= size
    return (argument(node, 2, None) or 0) == 0 and argument(node, 4, 1) == 1 and (end in (None, END) or known)


def _read(node: Node) -> tuple[Node, int, int, bool] | None:
    """Give the tensor, the axis, and the entry that a node reads, and whether it keeps the axis."""
    source: Any = node.args[0] if node.args else None
    if not isinstance(source, Node):
        return None
    keeps = False
    if node.target is aten.select.int:
        axis, number = int(argument(node, 1, 0)), argument(node, 2, 0)
    elif getattr(node.target, "__name__", "") == "getitem" and source.target is aten.unbind.int:
        source, axis, number = source.args[0], int(argument(source, 1, 0)), argument(node, 1, 0)
    elif node.target is aten.slice.Tensor:
        axis, number = int(argument(node, 1, 0)), argument(node, 2, 0) or 0
        size, end = _size(source, axis), argument(node, 3, None)
        if not all(isinstance(each, int) for each in (size, number, end)) or size == 1:
            return None
        number, end = (each + size * (each < 0) for each in (number, min(end, size)))
        if end != number + 1:
            return None
        keeps = True
    else:
        return None
    size = _size(source, axis)
    if not isinstance(size, int) or not isinstance(number, int):
        return None
    axis %= source.meta["val"].dim()
    return source, axis, number + size * (number < 0), keeps


def _read_by_each(graph: fx.Graph, node: Node, source: Node, axis: int, number: int, *, keeps: bool) -> None:
    """Let each reader of an entry read it itself."""
    for user in [*node.users]:
        with graph.inserting_before(user):
            own = entry(graph, source, axis, number)
            if keeps:
                own = with_axis(graph, own, axis)
        user.replace_input_with(node, own)


def put_together(graph: fx.Graph) -> None:
    """Let entries of one tensor that stand side by side, one after another, be that tensor."""
    for node in [*graph.nodes]:
        if node.target in (aten.stack.default, aten.cat.default):
            parts: Any = node.args[0]
            runs = [*_runs(parts)]
            if any(isinstance(run, Along) for run in runs):
                with graph.inserting_before(node):
                    made = _joined(graph, node, runs)
                node.replace_all_uses_with(made)
    for node in [*graph.find_nodes(op="call_function", target=aten.select.int)]:
        source, axis, number = node.args
        if LAST in source.meta and (axis, number) == (0, _size(source, 0) - 1):
            with graph.inserting_before(node):
                node.replace_all_uses_with(read_of(graph, source.meta[LAST]))
    graph.eliminate_dead_code()


def _runs(parts: list[Node]) -> Iterator[Node | Along]:
    """Put together what goes along a tensor, if there is enough of it."""
    place = 0
    while place < len(parts):
        along = _along(parts[place:])
        if along is not None and along.count >= FEWEST:
            yield along
            place += along.count
        else:
            yield parts[place]
            place += 1


def _along(parts: list[Node]) -> Along | None:
    """Give the entries of one tensor that parts begin with."""
    if len(parts) < 2 or parts[0].target is not aten.select.int:
        return None
    source, axis, first = parts[0].args
    numbers = list[int]()
    for part in parts:
        if part.target is not aten.select.int or part.args[:2] != (source, axis):
            break
        numbers.append(part.args[2])  # type: ignore[arg-type]
    by = numbers[1] - numbers[0] if len(numbers) > 1 else 0
    count = next(
        (place for place, number in enumerate(numbers) if number != numbers[0] + by * place), len(numbers)
    )
    return Along(source, axis, first, by, count) if by else None  # type: ignore[arg-type]


def _joined(graph: fx.Graph, node: Node, runs: list[Node | Along]) -> Node:
    """Write ``stack`` or ``cat`` of parts, some of which are entries of one tensor."""
    axis = int(argument(node, 1, 0)) % node.meta["val"].dim()
    stacks, parts = node.target is aten.stack.default, list[Node]()
    for run in runs:
        if isinstance(run, Node):
            parts.append(with_axis(graph, run, axis) if stacks else run)
            continue
        whole = _moved(graph, run.whole(graph), run.axis, axis)
        parts.append(whole if stacks else _flattened(graph, whole, axis))
    if len(parts) == 1:
        return parts[0]
    made = graph.call_function(aten.cat.default, (parts, axis))
    made.meta["val"] = node.meta["val"]
    return made
