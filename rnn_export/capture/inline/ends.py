"""Iterations of a loop that repeat in part, or in another order: the first one and the last one.

A trace leaves out what nobody reads of the last iteration, and the first one may begin with what stands in
front of the loop. Both are iterations like the others, if all that is there of them says so.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.fx import Node
from torch.utils import _pytree as pytree

from rnn_export.capture.inline.body import OWN, STATE, Given, Loop, is_like

aten = torch.ops.aten
ADDED = "added"  # what is known of a node that the trace does not have


def with_all(loop: Loop) -> Loop:
    """Add the iterations in front and behind."""
    while (row := _another(loop)) is not None:
        loop.rows.append(row)
    while _begun_earlier(loop):
        pass
    return loop


def _begun_earlier(loop: Loop) -> bool:
    """Add the iteration in front, if what the states begin with is one: it may stand in another order."""
    row, begins = dict[int, Node](), dict[int, Node]()
    if not loop.reads or any(not 0 <= read.first - read.by < read.size for read in loop.reads):
        return False
    pairs = [(place, node) for node, place in loop.states]
    while pairs:
        place, node = pairs.pop()
        if place in row:
            if not _is_same(row[place], node):
                return False
            continue
        row[place] = node
        leaves = _alike(loop, place, node)
        if leaves is None:
            return False
        for given, leaf in leaves:
            if given.kind == OWN:
                pairs.append((given.number, leaf))
            elif given.kind == STATE and begins.setdefault(given.number, leaf) is not leaf:
                return False
    whole = len(begins) == len(loop.states) and len(row) == len(loop.rows[0])
    if not whole or any(not is_like(begins[number], row[place]) for number, place in enumerate(loop.carried)):
        return False  # what only comes out of that iteration is not there, or a state begins with one number
    loop.rows.insert(0, [row[place] for place in range(len(loop.rows[0]))])
    loop.states = [(begins[number], place) for number, (_, place) in enumerate(loop.states)]
    loop.reads = [replace(read, first=read.first - read.by) for read in loop.reads]
    return True


def _alike(loop: Loop, place: int, node: Node) -> list[tuple[Given, Node]] | None:
    """Compare a node with what stands in a place of the loop; give what it has of its own iteration."""
    template = loop.args[place]
    if isinstance(template, Given):
        read = loop.reads[template.number]
        entry = (read.source, read.axis, read.first - read.by)
        return [] if node.target is aten.select.int and tuple(node.args) == entry else None
    leaves, spec = pytree.tree_flatten((node.args, node.kwargs))
    if node.target is not loop.rows[0][place].target or spec != template[1]:
        return None
    found = list[tuple[Given, Node]]()
    for given, leaf in zip(template[0], leaves, strict=True):
        if isinstance(given, Given) and given.kind in (OWN, STATE):
            if not isinstance(leaf, Node):
                return None
            found.append((given, leaf))
        elif not _is_same(loop.given(given, ()), leaf):
            return None
    return found


def _another(loop: Loop) -> list[Node] | None:
    """Give one more iteration, if a part of it stands there: what nobody reads of the last one does not."""
    graph, row, found = loop.rows[0][0].graph, list[Node](), False
    if any(not 0 <= read.first + read.by * loop.count < read.size for read in loop.reads):
        return None
    made, inside = list[Node](), {node for row in loop.rows for node in row}
    with graph.inserting_before(graph.output_node()):
        for first, each in zip(loop.rows[0], loop.args, strict=True):
            if isinstance(each, Given):
                made.append(loop.reads[each.number].entry(graph, loop.count))
                made[-1].meta[ADDED] = True
                row.append(made[-1])
                continue
            leaves = [loop.given(leaf, row) for leaf in each[0]]
            args, kwargs = pytree.tree_unflatten(leaves, each[1])
            known = next((node for node in _known(first.target, args, kwargs) if node not in inside), None)
            found = found or known is not None
            if known is None:
                known = graph.call_function(first.target, args, kwargs)  # type: ignore[arg-type]
                known.meta = {**first.meta, ADDED: True}
                made.append(known)
            row.append(known)
    if found:
        return row
    for node in reversed(made):
        graph.erase_node(node)
    return None


def without_added(loop: Loop) -> None:
    """Leave out what the trace does not have, but for the iterations of the loop."""
    graph, inside = loop.rows[0][0].graph, {node for row in loop.rows for node in row}
    for node in reversed([*graph.nodes]):
        if ADDED in node.meta and node not in inside:
            graph.erase_node(node)


def _known(target: Any, args: Any, kwargs: Any) -> Iterator[Node]:
    """Find the nodes that call something with given arguments."""
    leaves = pytree.tree_leaves((args, kwargs))
    given = [leaf for leaf in leaves if isinstance(leaf, Node)]
    alike = {user for leaf in given for same in _same(leaf) for user in same.users if user.target is target}
    for user in (user for user in alike if ADDED not in user.meta):
        own = pytree.tree_leaves((user.args, user.kwargs))
        if len(own) == len(leaves) and all(map(_is_same, own, leaves)):
            yield user


def _same(node: Node) -> list[Node]:
    """List the nodes that are as good as one: each reader of an entry reads it itself."""
    source = node.args[0] if node.target is aten.select.int else None
    return [each for each in source.users if _is_same(each, node)] if isinstance(source, Node) else [node]


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Node) and isinstance(other, Node):
        return one is other or (
            one.target is other.target is aten.select.int and tuple(one.args) == tuple(other.args)
        )
    return type(one) is type(other) and bool(one == other)
