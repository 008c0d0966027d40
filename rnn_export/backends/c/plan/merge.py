"""Fewer and larger products: sums of them become one, and so do those of the same vectors.

- ``x W_x + h W_h + b``, however it is bracketed, is one affine operation with two parts.
- Columns that nothing reads are left out.
- Affine operations of the same vectors stand side by side in one: the matrices of the gates.
- In a loop, the part that reads nothing of the loop is computed before it, for many time steps at once.
- A product of few columns is made column by column.
- A deep product is cut along its sums, so that a panel of its matrix stays in the nearest cache.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx
import numpy as np

from rnn_export.backends.c.trace.graph import AFFINE, DOT, GATHER, STATE, Constant, Net, Op, Operand, View
from rnn_export.signature.signature import Array

ALIGNED = 16  # columns; where an affine operation begins within a merged one
NARROW = 4  # columns, up to which a product is made column by column
DEPTH = 128  # rows of a matrix that are summed up at once: a panel of 64 columns is 32 KB then


def merge(net: Net) -> None:
    """Do all of it, in place."""
    net.ops = list(_needed(net))
    _merge_sums(net)
    _trim(net)
    _merge_columns(net, [op for op in net.ops if op.kind == AFFINE])
    _own_states(net)
    _merge_columns(net, _hoist(net))
    net.ops = list(_needed(net))
    for op in [op for op in net.ops if op.kind == AFFINE]:
        if op.size <= NARROW and len(op.operands) == 1 and op.start is None and _depth(op) >= ALIGNED:
            op.kind = DOT
        elif _depth(op) > DEPTH:
            net.ops.insert(net.ops.index(op), _begun(op))


def _needed(net: Net) -> Iterable[Op]:
    """List the operations that something comes of."""
    wanted: set[Op] = set()
    waiting = [view.op for view in net.outputs if isinstance(view, View)]
    waiting += [view.op for final in net.finals for view in final if isinstance(view, View)]
    while waiting:
        op = waiting.pop()
        if op not in wanted:
            wanted.add(op)
            waiting += op.sources()
            waiting += [op.following.op] if op.following else []
    return (op for op in net.ops if op in wanted)


def _merge_sums(net: Net) -> None:
    for op in net.ops:
        if op.kind != "Add":
            continue
        uses = net.uses()
        terms = [_term(operand, op, uses) for operand in op.operands]
        if None in terms or all(isinstance(operand, Constant) for operand in op.operands):
            continue
        merged = [part for term in terms if term for part in term.parts]
        order = {each: number for number, each in enumerate(net.ops)}
        merged.sort(key=lambda part: (order[part[0].op], part[0].offset))
        biases = [term.bias for term in terms if term and term.bias is not None]
        op.kind = AFFINE
        op.operands, op.matrices, op.names = [list(part) for part in zip(*merged, strict=True)]
        op.bias = sum(biases[1:], biases[0]).astype(np.float32) if biases else None
        op.bias_name = " + ".join(term.name for term in terms if term and term.name)


Part = tuple[View, Array, str]  # what is multiplied, with which matrix, and what the model calls that


@dataclass(frozen=True)
class Term:
    """One side of a sum, as an affine operation."""

    parts: list[Part]
    bias: Array | None
    name: str


def _term(operand: Operand, user: Op, uses: dict[Op, list[tuple[Op | None, View]]]) -> Term | None:
    """Read one side of a sum as an affine operation, if it is one that nobody else reads."""
    if isinstance(operand, Constant):
        return Term([], np.broadcast_to(operand.values, user.size), operand.name)
    op, first, last = operand.op, operand.offset, operand.offset + operand.size
    readers = [view for _, view in uses[op] if view.offset < last and view.offset + view.size > first]
    if op.kind != AFFINE or len(readers) != 1 or operand.size != user.size or not operand.step or op.start:
        return None
    if op.pass_number != user.pass_number:
        return None
    parts = [(view, matrix[:, first:last], name) for view, matrix, name in _parts(op)]
    return Term(parts, None if op.bias is None else op.bias[first:last], op.bias_name)


def _parts(op: Op) -> Iterator[Part]:
    """List what an affine operation adds up."""
    for view, matrix, name in zip(op.operands, op.matrices, op.names, strict=True):
        assert isinstance(view, View)
        yield view, matrix, name


def _trim(net: Net) -> None:
    """Split affine operations into the ranges of columns that are read."""
    net.ops = list(_needed(net))
    uses = net.uses()
    moved: dict[Op, list[tuple[int, int, Op]]] = {}
    for op in [op for op in net.ops if op.kind == AFFINE]:
        ranges = _ranges(view for _, view in uses[op])
        if ranges == [(0, op.size)]:
            continue
        parts = [(first, last, _columns(op, first, last)) for first, last in ranges]
        moved[op] = parts
        place = net.ops.index(op)
        net.ops[place : place + 1] = [part for _, _, part in parts]

    def move(view: View) -> View:
        for first, last, part in moved.get(view.op, ()):
            if first <= view.offset < last:
                return View(part, view.offset - first, view.size, view.step)
        return view

    _redirect(net, move)


def _ranges(views: Iterable[View]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in sorted((view.offset, view.offset + (view.size if view.step else 1)) for view in views):
        if found and first < found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    joined: list[tuple[int, int]] = []
    for first, last in found:  # neighbours stay together: one product
        if joined and joined[-1][1] == first:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return joined


def _columns(op: Op, first: int, last: int) -> Op:
    return Op(
        AFFINE,
        last - first,
        operands=list(op.operands),
        matrices=[matrix[:, first:last] for matrix in op.matrices],
        bias=None if op.bias is None else op.bias[first:last],
        pass_number=op.pass_number,
        names=list(op.names),
        bias_name=op.bias_name,
    )


def _redirect(net: Net, move: Callable[[View], View]) -> None:
    """Let everything that reads one place read another."""

    def moved(view: Operand) -> Operand:
        return move(view) if isinstance(view, View) else view

    for op in net.ops:
        op.operands = [moved(view) for view in op.operands]
        op.places = [moved(view) for view in op.places]
        op.start = move(op.start) if op.start else None
        op.following = move(op.following) if op.following else None
    net.outputs = [moved(view) for view in net.outputs]
    net.finals = [[moved(view) for view in final] for final in net.finals]


def _merge_columns(net: Net, candidates: list[Op]) -> None:
    """Put affine operations of the same vectors side by side."""
    groups: dict[object, list[Op]] = {}
    for op in candidates:
        key = (op.pass_number, op.start, tuple(op.operands))
        groups.setdefault(key, []).append(op)
    places: dict[Op, tuple[Op, int]] = {}
    for group in groups.values():
        if len(group) > 1:
            whole, offsets = _beside(group)
            places.update({op: (whole, offset) for op, offset in zip(group, offsets, strict=True)})
            net.ops[net.ops.index(group[0])] = whole
            net.ops = [op for op in net.ops if op not in group]

    def move(view: View) -> View:
        if view.op not in places:
            return view
        whole, offset = places[view.op]
        return View(whole, view.offset + offset, view.size, view.step)

    _redirect(net, move)


def _beside(group: list[Op]) -> tuple[Op, list[int]]:
    offsets, end = [], 0
    for op in group:
        end = -(-end // ALIGNED) * ALIGNED
        offsets.append(end)
        end += op.size
    matrices = [np.zeros((view.size, end), np.float32) for view in group[0].operands]  # type: ignore[union-attr]
    bias = np.zeros(end, np.float32) if any(op.bias is not None for op in group) else None
    for op, offset in zip(group, offsets, strict=True):
        for whole, matrix in zip(matrices, op.matrices, strict=True):
            whole[:, offset : offset + op.size] = matrix
        if bias is not None and op.bias is not None:
            bias[offset : offset + op.size] = op.bias
    first = group[0]
    merged = Op(AFFINE, end, operands=list(first.operands), matrices=matrices, bias=bias)
    merged.names = [_joined(names) for names in zip(*(op.names for op in group), strict=True)]
    merged.bias_name, merged.pass_number = _joined([op.bias_name for op in group]), first.pass_number
    return merged, offsets


def _joined(names: Iterable[str]) -> str:
    """Name what stands side by side."""
    return ", ".join(dict.fromkeys(filter(None, names)))


def _own_states(net: Net) -> None:
    """Let every state become what one operation makes for it alone."""
    owners: set[Op] = set()
    for state in net.states():
        view = state.following
        assert view
        whole = view.offset == 0 and view.size == view.op.size and view.step
        if not whole or view.op in owners or view.op.kind in ("Input", STATE):
            op = Op(GATHER, state.size, state.dtype, places=[view], pass_number=state.pass_number)
            net.ops.append(op)
            state.following = View(op, 0, state.size)
        owners.add(state.following.op)  # type: ignore[union-attr]


def components(net: Net, number: int) -> list[list[Op]]:
    """Order a pass's strongly connected components; one with a state among others is a loop."""
    graph: nx.DiGraph[Op] = nx.DiGraph()
    own = [op for op in net.ops if op.pass_number == number]
    graph.add_nodes_from(own)
    for op in own:
        graph.add_edges_from(
            (source, op) for source in op.sources() if source.pass_number == number and op.kind != STATE
        )
        if op.following:
            graph.add_edge(op.following.op, op)
    order = {op: place for place, op in enumerate(own)}
    condensed = nx.condensation(graph)
    members = nx.get_node_attributes(condensed, "members")
    first = {part: min(order[op] for op in ops) for part, ops in members.items()}
    return [
        sorted(members[part], key=order.__getitem__)
        for part in nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    ]


def _hoist(net: Net) -> list[Op]:
    """Compute the parts of an affine operation that read nothing of its loop before the loop."""
    hoisted = []
    for number in range(len(net.passes)):
        for component in components(net, number):
            inside = set(component)
            for op in component if len(component) > 1 else ():
                if op.kind != AFFINE:
                    continue
                outer = [part for part in _parts(op) if part[0].op not in inside]
                inner = [part for part in _parts(op) if part[0].op in inside]
                if not outer or not inner:
                    continue
                before = _taken(op, outer)
                _keep(op, inner, before)
                net.ops.insert(net.ops.index(op), before)
                hoisted.append(before)
    return hoisted


def _depth(op: Op) -> int:
    """Give the length of an affine operation's sums."""
    return sum(view.size for view in op.operands if isinstance(view, View))


def _begun(op: Op) -> Op:
    """Cut a deep affine operation: give one that makes its sums but for the last part, which it keeps."""
    parts = [piece for part in _parts(op) for piece in _shallow(part)]
    before = _taken(op, parts[:-1])
    before.start = op.start
    _keep(op, parts[-1:], before)
    return before


def _taken(op: Op, parts: list[Part]) -> Op:
    """Make an affine operation of some parts of another one, and of its bias."""
    before = Op(AFFINE, op.size, pass_number=op.pass_number, bias=op.bias, bias_name=op.bias_name)
    before.operands, before.matrices, before.names = [list(part) for part in zip(*parts, strict=True)]
    return before


def _keep(op: Op, parts: list[Part], before: Op) -> None:
    """Leave an affine operation some of its parts; it begins with what another one made."""
    op.operands, op.matrices, op.names = [list(part) for part in zip(*parts, strict=True)]
    op.bias, op.bias_name, op.start = None, "", View(before, 0, op.size)


def _shallow(part: Part) -> Iterator[Part]:
    """Split a product along its sums."""
    view, matrix, name = part
    count = -(-view.size // DEPTH)
    for start, end in pairwise(view.size * number // count for number in range(count + 1)):
        yield View(view.op, view.offset + start, end - start), matrix[start:end], name
