"""Fewer and larger products: sums of them become one, and so do those of the same vectors.

- ``x W_x + h W_h + b``, however it is bracketed, is one affine operation with two parts.
- Columns that nothing reads are left out.
- Affine operations of the same vectors stand side by side in one: the matrices of the gates.
- In a loop, the part that reads nothing of the loop is computed before it, for many time steps at once,
  unless it is a few terms of sums that stay in registers.
- A product of few columns is made column by column.
- A deep product is cut along its sums, so that a panel of its matrix stays in the nearest cache.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import networkx as nx
import numpy as np

from rnn_export.backends.c.plan.tiles import gates
from rnn_export.backends.c.trace.graph import (
    Affine,
    Constant,
    Dot,
    Elementwise,
    Gather,
    Input,
    Operand,
    State,
    Vector,
    View,
    Weight,
    moved,
)
from rnn_export.backends.c.trace.net import Net

ALIGNED = 16  # columns; where an affine operation begins within a merged one
NARROW = 4  # columns, up to which a product is made column by column
SHALLOW = 16  # rows of a matrix, up to which a product of inputs is not worth a buffer of its own
DEPTH = 128  # rows of a matrix that are summed up at once: a panel of 64 columns is 32 KB then

Uses = dict[Vector, list[tuple[Vector | None, View]]]
Part = tuple[View, Weight]  # what is multiplied, and with which matrix


def merge(net: Net) -> None:
    """Do all of it, in place."""
    net.vectors = list(_needed(net))
    _merge_sums(net)
    _trim(net)
    _merge_columns(net, [vector for vector, _ in _affine(net)])
    _own_states(net)
    _merge_columns(net, _hoist(net))
    net.vectors = list(_needed(net))
    for vector, operation in list(_affine(net)):
        few = vector.size <= NARROW and len(operation.operands) == 1
        if few and operation.start is None and operation.depth >= ALIGNED:
            vector.operation = Dot(operation.operands, matrices=operation.matrices, bias=operation.bias)
        elif operation.depth > DEPTH:
            net.vectors.insert(net.vectors.index(vector), _begun(vector, operation))


def _affine(net: Net) -> Iterator[tuple[Vector, Affine]]:
    """List the affine operations with the vectors that they make."""
    for vector in net.vectors:
        if isinstance(vector.operation, Affine):
            yield vector, vector.operation


def _needed(net: Net) -> Iterable[Vector]:
    """List the vectors that a result comes of."""
    wanted: set[Vector] = set()
    waiting = [view.vector for view in net.results()]
    while waiting:
        vector = waiting.pop()
        if vector not in wanted:
            wanted.add(vector)
            waiting += vector.sources()
            waiting += [vector.following.vector] if vector.following else []
    return (vector for vector in net.vectors if vector in wanted)


def _merge_sums(net: Net) -> None:
    """Make one affine operation of a sum of affine operations and constants."""
    for vector in net.vectors:
        operation = vector.operation
        if not isinstance(operation, Elementwise) or operation.kind != "Add" or not operation.views():
            continue
        uses = net.uses()
        terms = [_term(operand, vector, uses) for operand in operation.operands]
        known = [term for term in terms if term is not None]
        if len(known) == len(terms):
            vector.operation = _sum(known, {each: place for place, each in enumerate(net.vectors)})


def _sum(terms: Sequence["Term"], order: dict[Vector, int]) -> Affine:
    """Add up; the parts are ordered by what they read."""
    parts = [part for term in terms for part in term.parts]
    parts.sort(key=lambda part: (order[part[0].vector], part[0].offset))
    views, matrices = zip(*parts, strict=True)
    biases = [term.bias for term in terms if term.bias is not None]
    if not biases:
        return Affine(views, matrices=matrices)
    numbers = [bias.values for bias in biases]
    total = sum(numbers[1:], numbers[0]).astype(np.float32)
    name = " + ".join(bias.name for bias in biases if bias.name)
    return Affine(views, matrices=matrices, bias=Weight.of(total, name))


@dataclass(frozen=True)
class Term:
    """One side of a sum, as an affine operation."""

    parts: list[Part]
    bias: Weight | None


def _term(operand: Operand, user: Vector, uses: Uses) -> Term | None:
    """Read one side of a sum as an affine operation, if it is one that nobody else reads."""
    if isinstance(operand, Constant):
        return Term([], Weight.of(np.broadcast_to(operand.values, user.size), operand.name))
    source, first, end = operand.vector, operand.offset, operand.offset + operand.size
    readers = [view for _, view in uses[source] if view.offset < end and view.offset + view.size > first]
    operation = source.operation
    if not isinstance(operation, Affine) or operation.start is not None or len(readers) != 1:
        return None
    if operand.size != user.size or not operand.step:
        return None
    if (source.sweep, source.places) != (user.sweep, user.places):
        return None
    parts = [(view, matrix.columns(first, end)) for view, matrix in operation.parts()]
    return Term(parts, None if operation.bias is None else operation.bias.columns(first, end))


def _trim(net: Net) -> None:
    """Split affine operations into the ranges of columns that are read."""
    net.vectors = list(_needed(net))
    uses = net.uses()
    split: dict[Vector, list[tuple[int, int, Vector]]] = {}
    for vector, operation in list(_affine(net)):
        ranges = _ranges(view for _, view in uses[vector])
        if ranges == [(0, vector.size)]:
            continue
        parts = [(first, end, _columns(vector, operation, first, end)) for first, end in ranges]
        split[vector] = parts
        place = net.vectors.index(vector)
        net.vectors[place : place + 1] = [part for _, _, part in parts]

    def move(view: View) -> View:
        for first, end, part in split.get(view.vector, ()):
            if first <= view.offset < end:
                return View(part, view.offset - first, view.size, view.step)
        return view

    _redirect(net, move)


def _ranges(views: Iterable[View]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, end in sorted((view.offset, view.offset + view.count()) for view in views):
        if found and first <= found[-1][1]:  # neighbours stay together: one product
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((first, end))
    return found


def _columns(vector: Vector, operation: Affine, first: int, end: int) -> Vector:
    matrices = tuple(matrix.columns(first, end) for matrix in operation.matrices)
    bias = None if operation.bias is None else operation.bias.columns(first, end)
    return Vector(
        Affine(operation.operands, matrices=matrices, bias=bias),
        end - first,
        sweep=vector.sweep,
        clock=vector.clock,
        places=vector.places,
    )


def _redirect(net: Net, move: Callable[[View], View]) -> None:
    """Let everything that reads one place read another."""
    for vector in net.vectors:
        vector.operation = vector.operation.moved(move)
    net.outputs = [
        replace(output, operands=[moved(operand, move) for operand in output.operands])
        for output in net.outputs
    ]
    net.finals = [[moved(operand, move) for operand in final] for final in net.finals]


def _merge_columns(net: Net, candidates: list[Vector]) -> None:
    """Put affine operations of the same vectors side by side."""
    groups: dict[object, list[Vector]] = {}
    for vector in candidates:
        key = vector.sweep, vector.places, vector.start, vector.operation.operands
        groups.setdefault(key, []).append(vector)
    places: dict[Vector, View] = {}
    for group in groups.values():
        if len(group) > 1:
            merged, offsets = _beside(group)
            for vector, offset in zip(group, offsets, strict=True):
                places[vector] = View(merged, offset, vector.size)
            net.vectors[net.vectors.index(group[0])] = merged
            net.vectors = [vector for vector in net.vectors if vector not in group]

    def move(view: View) -> View:
        place = places.get(view.vector)
        return View(place.vector, view.offset + place.offset, view.size, view.step) if place else view

    _redirect(net, move)


def _beside(group: list[Vector]) -> tuple[Vector, list[int]]:
    """Make one vector of some; give where each of them begins in it."""
    offsets, end = [], 0
    for vector in group:
        end = -(-end // ALIGNED) * ALIGNED
        offsets.append(end)
        end += vector.size
    own = [vector.operation for vector in group if isinstance(vector.operation, Affine)]
    matrices = tuple(
        _wide(matrices, offsets, end) for matrices in zip(*(each.matrices for each in own), strict=True)
    )
    bias = None
    if any(each.bias is not None for each in own):
        zeros = [Weight.of(np.zeros(vector.size, np.float32), "") for vector in group]
        bias = _wide([each.bias or zero for each, zero in zip(own, zeros, strict=True)], offsets, end)
    merged = Vector(Affine(own[0].operands, matrices=matrices, bias=bias), end, sweep=group[0].sweep)
    merged.clock, merged.places = group[0].clock, group[0].places
    return merged, offsets


def _wide(weights: Sequence[Weight], offsets: list[int], size: int) -> Weight:
    """Put the columns of some weights at their offsets, zeros between them."""
    values = np.zeros((*weights[0].values.shape[:-1], size), np.float32)
    labels = []
    for weight, offset in zip(weights, offsets, strict=True):
        values[..., offset : offset + weight.values.shape[-1]] = weight.values
        labels += [(first + offset, end + offset, name) for first, end, name in weight.labels]
    return Weight(values, tuple(labels))


def _own_states(net: Net) -> None:
    """Let every state become what one operation makes for it alone."""
    owners: set[Vector] = set()
    for state in net.states():
        operation = state.operation
        assert isinstance(operation, State)
        view = operation.following
        assert view
        if not view.complete or view.vector in owners or isinstance(view.vector.operation, Input | State):
            copy = Vector(Gather((view,)), state.size, state.dtype, state.sweep, clock=state.clock)
            net.vectors.append(copy)
            view = View(copy, 0, state.size)
            state.operation = replace(operation, following=view)
        owners.add(view.vector)


def components(net: Net, sweep: int) -> list[list[Vector]]:
    """Order a sweep's strongly connected components; one with a state among others is a loop."""
    graph: nx.DiGraph[Vector] = nx.DiGraph()
    own = [vector for vector in net.vectors if vector.sweep == sweep]
    graph.add_nodes_from(own)
    for vector in own:
        if isinstance(vector.operation, State):
            assert vector.following
            graph.add_edge(vector.following.vector, vector)
        else:
            graph.add_edges_from((source, vector) for source in vector.sources() if source.sweep == sweep)
    order = {vector: place for place, vector in enumerate(own)}
    condensed = nx.condensation(graph)
    members = nx.get_node_attributes(condensed, "members")
    first = {part: min(order[vector] for vector in vectors) for part, vectors in members.items()}
    return [
        sorted(members[part], key=order.__getitem__)
        for part in nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    ]


def _hoist(net: Net) -> list[Vector]:
    """Compute the parts of an affine operation that read nothing of its loop before the loop."""
    hoisted, uses = [], net.uses()
    for number in range(len(net.sweeps)):
        for component in components(net, number):
            inside = set(component)
            for vector in component if len(component) > 1 else ():
                operation = vector.operation
                if not isinstance(operation, Affine):
                    continue
                outer = [part for part in operation.parts() if part[0].vector not in inside]
                inner = [part for part in operation.parts() if part[0].vector in inside]
                if outer and inner and not _stays(vector, outer, uses):
                    hoisted.append(_taken(vector, operation, outer, inner))
                    net.vectors.insert(net.vectors.index(vector), hoisted[-1])
    return hoisted


def _stays(vector: Vector, outer: list[Part], uses: Uses) -> bool:
    """Whether the parts that read nothing of a loop stay in it: few terms, added to sums in registers."""
    users = [user for user, _ in uses[vector] if user is not None and isinstance(user.operation, Elementwise)]
    if sum(view.size for view, _ in outer) > SHALLOW or not users or len(users) < len(uses[vector]):
        return False
    return gates(vector, users, users) is not None


def _begun(vector: Vector, operation: Affine) -> Vector:
    """Cut a deep affine operation: give one that makes its sums but for the last part, which it keeps."""
    parts = [piece for part in operation.parts() for piece in _shallow(part)]
    return _taken(vector, operation, parts[:-1], parts[-1:])


def _taken(vector: Vector, operation: Affine, parts: list[Part], rest: list[Part]) -> Vector:
    """Make a vector of some parts of an affine operation and its bias; the operation goes on from there."""
    views, matrices = zip(*parts, strict=True)
    before = Vector(replace(operation, operands=views, matrices=matrices), vector.size, sweep=vector.sweep)
    before.clock, before.places = vector.clock, vector.places
    views, matrices = zip(*rest, strict=True)
    vector.operation = Affine(views, matrices=matrices, start=View(before, 0, vector.size))
    return before


def _shallow(part: Part) -> Iterator[Part]:
    """Split a product along its sums."""
    view, matrix = part
    count = -(-view.size // DEPTH)
    for start, end in pairwise(view.size * number // count for number in range(count + 1)):
        yield View(view.vector, view.offset + start, end - start), matrix.rows(start, end)
