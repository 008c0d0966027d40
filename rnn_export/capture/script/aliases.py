"""Tensors that change in place where others see it: what upstream's exporter gets wrong without a word.

    for x_t in x:
        state.mul_(0.9)            # writes into what outputs[-1] holds, too
        state = cell(x_t, state)
        outputs.append(state)

A list in ONNX holds copies, so there is no form for it. Nor has the exporter one for ``x_t += 1``, where
``x_t`` is an entry of ``x.unbind()``, or ``x[t]`` in one branch and something else in another, and ``x``
itself is read afterwards.
"""

from collections.abc import Iterator
from typing import Any

from torch._C import ListType, TensorType, parse_schema

LOOP, BRANCH, ENTRY, SELECT = "prim::Loop", "prim::If", "aten::__getitem__", "aten::select"
SHAPES = ("aten::size", "aten::len", "aten::dim", "prim::dtype", "prim::device")  # read no numbers


def line_that_changes_a_list(graph: Any) -> str:
    """Give the line that may write into a tensor that a list holds from an earlier time step, or ``""``.

    Args:
        graph: of TorchScript, with all calls inlined.
    """
    nodes = list(_nodes(graph))
    written = [(value, node) for node in nodes for value in _written(node)]
    lists = [value for value, _ in written if isinstance(value.type(), ListType)]
    if not lists:
        return ""
    aliases = graph.alias_db()
    carried = dict(pair for node in nodes if node.kind() == LOOP for pair in _carried(node))
    for value, node in written:
        handed_on = carried.get(_origin(value, aliases).debugName())
        if handed_on and any(aliases.may_contain_alias(each, handed_on) for each in lists):
            return str(node.sourceRange()).strip()
    return ""


def line_that_changes_an_entry(graph: Any) -> str:
    """Give the line that writes into an entry of a list of views of what is read later, or ``""``.

    Args:
        graph: of TorchScript, with all calls inlined.
    """
    nodes = list(_nodes(graph))
    written = [
        (number, value)
        for number, node in enumerate(nodes)
        for value in _written(node)
        if isinstance(value.type(), TensorType) and value.node().kind() in (ENTRY, BRANCH)
    ]
    if not written:
        return ""
    aliases = graph.alias_db()
    for number, value in written:
        for views, whole in _viewed(value, aliases):
            own, source = _derived(value, nodes), _origin(whole, aliases).debugName()
            first = _first_of_loop(nodes, number, views)
            for reader in (node for node in nodes[first:] if node is not views):
                read = [given for given in reader.inputs() if isinstance(given.type(), TensorType)]
                seen = [_origin(given, aliases).debugName() for given in read if given.debugName() not in own]
                if reader.kind() not in SHAPES and source in seen:
                    return str(nodes[number].sourceRange()).strip()
    return ""


def _viewed(value: Any, aliases: Any) -> Iterator[tuple[Any, Any]]:
    """Give what a tensor may be a view of, and the operation that makes it one: of a list, or in a branch."""
    node = value.node()
    if node.kind() == BRANCH:
        number = [each.debugName() for each in node.outputs()].index(value.debugName())
        for block in node.blocks():
            given = list(block.outputs())[number]
            whole = _origin(given, aliases)
            if whole.debugName() != given.debugName():
                yield given.node(), whole
        return
    views = next(node.inputs()).node()
    tensors = [given for given in views.inputs() if isinstance(given.type(), TensorType)]
    if tensors and views.kind().startswith("aten::"):
        yield views, tensors[0]


def _derived(value: Any, nodes: list[Any]) -> set[str]:
    """Name a tensor and all that is computed from it."""
    names = {value.debugName()}
    for node in nodes:
        if names & {given.debugName() for given in node.inputs()}:
            names |= {given.debugName() for given in node.outputs()}
    return names


def _first_of_loop(nodes: list[Any], number: int, views: Any) -> int:
    """Number the first node that runs after a node: behind ``views``, or all of the loop that it is in."""
    start, last = nodes.index(views), nodes[number]
    begin = start + 1 if views.kind() != SELECT else 0  # a view of a time step is made in the loop itself
    loops = (place for place in range(begin, number) if nodes[place].kind() == LOOP)
    inside = (place for place in loops if last in _nodes(next(nodes[place].blocks())))
    return next(inside, number) + 1


def _carried(loop: Any) -> Iterator[tuple[str, Any]]:
    """Give each tensor that a loop takes, by name, with the one that it hands on in its place."""
    (body,) = loop.blocks()
    _, *taken = body.inputs()  # the time step
    _, *given = body.outputs()  # whether to go on
    for before, after in zip(taken, given, strict=True):
        if isinstance(before.type(), TensorType):
            yield before.debugName(), after


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _written(node: Any) -> Iterator[Any]:
    """Give what an operation writes into: tensors, and the list that it puts one into."""
    if not node.kind().startswith("aten::"):
        return
    for value, argument in zip(node.inputs(), parse_schema(node.schema()).arguments, strict=False):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield value


def _origin(value: Any, aliases: Any) -> Any:
    """Go back from what was written into, or a part of it, to the tensor that it was or is a part of."""
    while viewed := [
        given
        for given in value.node().inputs()
        if value.node().kind().startswith("aten::")
        and isinstance(given.type(), TensorType)
        and aliases.may_contain_alias(given, value)
    ]:
        value = viewed[0]
    return value
