"""One time step of a loop that was found in a trace, as a graph of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.fx import Node
from torch.utils import _pytree as pytree

from rnn_export.capture.inline.body import CONTEXT, OWN, SEQUENCE, SIZE, STATE, WEIGHT, Given, Loop
from rnn_export.capture.inline.repeats import NUMBERS
from rnn_export.capture.roll.windows import NotRolledError

aten = torch.ops.aten


def step_of(loop: Loop, results: Sequence[int]) -> fx.Graph:
    """Give a time step: ``(*sequences, *contexts, *state) -> (*results, *new_state)``.

    Args:
        loop: the loop.
        results: the places of the nodes that it gives beside the state.

    Raises:
        NotRolledError: it reads a size that no tensor of it has.
    """
    graph, given, values = fx.Graph(), dict[tuple[str, int], Node](), dict[Node, Any]()
    entries = [read.source.meta["val"].select(read.axis, read.first) for read in loop.reads]
    contexts, begins = ([node.meta["val"] for node in nodes] for nodes in (loop.contexts, loop.begins))
    for kind, taken in ((SEQUENCE, entries), (CONTEXT, contexts), (STATE, begins)):
        for number, value in enumerate(taken):
            made = given[kind, number] = graph.placeholder(f"{kind}_{number}")
            values[made] = value
    for number, node in enumerate(loop.weights):
        given[WEIGHT, number] = graph.get_attr(str(node.target))
    for number, node in enumerate(loop.sizes):
        given[SIZE, number] = _size(graph, node, values)

    def own(leaf: Any) -> Any:
        return given[leaf.kind, leaf.number] if isinstance(leaf, Given) else leaf

    for place, (node, each) in enumerate(zip(loop.rows[0], loop.args, strict=True)):
        if isinstance(each, Given):
            given[OWN, place] = own(each)
            continue
        args, kwargs = pytree.tree_unflatten([own(leaf) for leaf in each[0]], each[1])
        given[OWN, place] = call(graph, node, args, kwargs)
    graph.output(tuple(given[OWN, place] for place in (*results, *loop.carried)))
    graph.lint()
    return graph


def call(graph: fx.Graph, node: Node, args: Any, kwargs: Any) -> Node:
    """Call what a node calls; one that is given free sizes so that ``torch.jit.trace`` fixes none of them."""
    free = any(isinstance(leaf, Node) and _is_number(leaf) for leaf in pytree.tree_leaves((args, kwargs)))
    if not free:
        return graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]
    name = str(node.target.overloadpacket.__name__)  # type: ignore[union-attr]
    name = "reshape" if name in ("view", "_unsafe_view") else name
    if isinstance(args[0], Node) and hasattr(torch.Tensor, name):
        return graph.call_method(name, args, kwargs)
    return graph.call_function(getattr(torch, name, node.target), args, kwargs)  # type: ignore[arg-type]


def _is_number(node: Node) -> bool:
    """Whether it is a free size, or made of one."""
    return isinstance(node.meta.get("val"), NUMBERS) or node.meta.get("number", False)


def _size(graph: fx.Graph, node: Node, values: dict[Node, Any]) -> Node:
    """Give a size that is read in each iteration: that of a tensor it takes, or made of such."""
    wanted = node.meta["val"]
    for made, value in values.items():
        for axis, size in enumerate(value.shape):
            if isinstance(size, torch.SymInt) and str(size) == str(wanted):
                return number(graph.call_method("size", (made, axis)))
    if not node.all_input_nodes or node.target is aten.sym_size.int:
        raise NotRolledError(f"a loop reads {wanted}, which no tensor of it has")
    args: Any = fx.map_arg(node.args, lambda each: _size(graph, each, values))
    return number(graph.call_function(node.target, args))  # type: ignore[arg-type]


def number(node: Node) -> Node:
    """Say that a node is a free size, or made of one."""
    node.meta["number"] = True
    return node
