"""What a loop writes into a tensor, one time step after another, is what it would stack.

::

    y1 = select_scatter(y0, h1, 0, 0)
    y2 = select_scatter(y1, h2, 0, 1)            =>     y = stack([h1, h2, ..., hT], 0)
    ...
    g2 = select(y1, 0, 0)                        =>     h1

So a module that fills a tensor of zeros is rolled up like one that appends to a list.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from rnn_export.capture.roll.windows import argument

aten = torch.ops.aten
END = 2**63 - 1  # of a slice that has none
WRITES = (aten.select_scatter.default, aten.slice_scatter.default)


def without_writes(graph: fx.Graph, steps: int) -> fx.Graph:
    """Let tensors that are written into once for each time step, or more often, be stacked."""
    for node in [*graph.nodes]:
        same = _same(node)
        if same is not None:
            node.replace_all_uses_with(same)
    for node in [*graph.nodes]:
        chain = [*_writes(node)]
        if len(chain) >= steps and not all(user.target in WRITES for user in node.users):
            _stack(graph, node, chain)
    return graph


def _same(node: Node) -> Node | None:
    """Give what a node is a copy of, if it is one."""
    if node.target is aten.slice.Tensor and _is_whole(node, node.args[0], 1):
        return _node(node.args[0])
    if node.target is aten.slice_scatter.default and _is_whole(node, node.args[0], 2):
        return _node(node.args[1])
    if node.target is aten.copy.default and _is_like(node.args[0], node.args[1]):
        return _node(node.args[1])
    return _read(node) if node.target is aten.select.int else None


def _node(value: Any) -> Node | None:
    return value if isinstance(value, Node) else None


def _is_whole(node: Node, of: Any, place: int) -> bool:
    """Whether a slice, whose arguments begin with its axis at a place, leaves nothing out."""
    val = of.meta["val"]
    size = val.shape[argument(node, place, 0)]
    start, end = argument(node, place + 1, None) or 0, argument(node, place + 2, None)
    if argument(node, place + 3, 1) != 1 or start != 0:
        return False
    if isinstance(size, int) and isinstance(end, int):
        return end >= size
    return end in (None, END)


def _is_like(one: Any, other: Any) -> bool:
    """Whether two values have the same shape and dtype."""
    a, b = (value.meta["val"] for value in (one, other))
    return a.dtype == b.dtype and [*map(str, a.shape)] == [*map(str, b.shape)]


def _write(node: Node) -> tuple[int, int, int] | None:
    """Give the axis of a write into some entries that are known, the first of them, and how many they are."""
    if node.target not in WRITES:
        return None
    val = node.meta["val"]
    axis = argument(node, 2, 0) % val.dim()
    size, start = val.shape[axis], argument(node, 3, None) or 0
    if node.target is aten.select_scatter.default:
        return (axis, start + size * (start < 0), 1) if isinstance(size, int) else None
    end = argument(node, 4, None)
    if not all(isinstance(each, int) for each in (size, start, end)) or argument(node, 5, 1) != 1:
        return None
    start, end = (each + size * (each < 0) for each in (start, min(end, size)))
    return axis, start, end - start


def _writes(node: Node) -> Iterator[Node]:
    """Go back from a write to those before it along the same axis, into the same tensor."""
    last = _write(node)
    while last is not None and (write := _write(node)) is not None and write[0] == last[0]:
        yield node
        node = node.args[0]  # type: ignore[assignment]


def _read(node: Node) -> Node | None:
    """Give what was written into the entry that a node reads."""
    source = _node(node.args[0])
    chain = [] if source is None else [*_writes(source)]
    if not chain:
        return None
    axis, entry = (int(number) for number in node.args[1:3])  # type: ignore[arg-type]
    val = chain[0].meta["val"]
    first = _write(chain[0])
    if first is None or axis % val.dim() != first[0] or not isinstance(entry, int):
        return None
    entry += val.shape[first[0]] * (entry < 0)
    for each in chain:
        write = _write(each)
        if write is not None and write[1] <= entry < write[1] + write[2]:
            return _node(each.args[1]) if each.target is aten.select_scatter.default else None
    return None


def _stack(graph: fx.Graph, node: Node, chain: list[Node]) -> None:
    """Put the entries of a tensor side by side; those that nothing was written into are read of it."""
    base, [axis, *_] = chain[-1].args[0], _write(node) or [0]
    entries = dict[int, Any]()
    with graph.inserting_before(node):
        for each in reversed(chain):
            _, start, count = _write(each) or (axis, 0, 0)
            if each.target is aten.select_scatter.default:
                entries[start] = each.args[1]
                continue
            for place in range(count):
                entries[start + place] = _selected(graph, each.args[1], axis, place)
        parts = [
            entries[place] if place in entries else _selected(graph, base, axis, place)
            for place in range(node.meta["val"].shape[axis])
        ]
        stacked = graph.call_function(aten.stack.default, (parts, axis))
    stacked.meta = dict(node.meta)
    node.replace_all_uses_with(stacked)


def _selected(graph: fx.Graph, source: Any, axis: int, place: int) -> Node:
    found = graph.call_function(aten.select.int, (source, axis, place))
    found.meta = dict(source.meta, val=source.meta["val"].select(axis, place))
    return found
