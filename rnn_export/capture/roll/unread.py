"""What nobody reads of a trace is left out: tensors that are joined, and cut apart again.

::

    y = cat([a, b], 2)            a: [B, T, 6], b: [B, T, 6]
    z = slice(y, 2, 0, 6)                                          =>     z = cat([a], 2)
    h = stack([c, d], 0)
    k = slice(h, 0, 1, 2)                                          =>     k = stack([d], 0)

So one of two loops whose results stand side by side is a loop by itself.
"""

from itertools import accumulate
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from rnn_export.capture.roll.windows import argument

aten = torch.ops.aten


def without_unread(graph: fx.Graph) -> fx.Graph:
    """Let slices read no more than they give, and leave out what has no result: assertions as well."""
    for node in [*graph.nodes]:
        if node.target is aten.slice.Tensor:
            _read_less(graph, node)
    for node in reversed([*graph.nodes]):
        if node.op in ("call_function", "call_module") and not node.users:
            graph.erase_node(node)
    return graph


def _read_less(graph: fx.Graph, node: Node) -> None:
    """Let a slice of tensors that were joined be those that it takes, if it takes each whole."""
    source: Any = node.args[0]
    if source.target not in (aten.cat.default, aten.stack.default):
        return
    rank = source.meta["val"].dim()
    axis = int(argument(source, 1, 0)) % rank
    sizes = [
        part.meta["val"].shape[axis] if source.target is aten.cat.default else 1 for part in source.args[0]
    ]
    start, end = argument(node, 2, None) or 0, argument(node, 3, None)
    if argument(node, 1, 0) % rank != axis or argument(node, 4, 1) != 1 or not _are_numbers(sizes):
        return
    whole = sum(sizes)
    start, end = (value + whole * (value < 0) for value in (start, whole if end is None else min(end, whole)))
    ends = [0, *accumulate(sizes)]
    if start in ends and end in ends:
        taken = list(source.args[0])[ends.index(start) : ends.index(end)]
        with graph.inserting_before(node):
            less = graph.call_function(source.target, (taken, axis))
        less.meta = dict(node.meta)
        node.replace_all_uses_with(less)
        graph.erase_node(node)


def _are_numbers(sizes: list[Any]) -> bool:
    return all(isinstance(size, int) for size in sizes)
