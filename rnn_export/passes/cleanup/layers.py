"""A state that stacks several, as ``[layers, B, H]``, becomes one state for each.

Where the next state of a loop is a ``Concat`` along one axis (or an ``Unsqueeze``, a stack of one), and the
body reads the state only through ``Gather``, ``Slice``, ``Split`` and ``Squeeze`` along that axis, in ranges
that are whole parts of the ``Concat``, each part becomes a state of its own::

    S_T, ... = Scan (S, ...) <body = step (float[2,B,6] S_s, ...) => (S_t, ...) {
        a = Gather (S_s, 0)  b = Gather (S_s, 1)  ...  S_t = Concat <axis = 0> (c, d) }>

    A, B = Split <axis = 0> (S, [1, 1])  ...                                          # A, B: float[1,B,6]
    A_T, B_T, ... = Scan (A, B, ...) <body = step (float[B,6] a, float[B,6] b, ...) => (c, d, ...) { ... }>
    S_T = Concat <axis = 0> (A_T, B_T)                                                # S_T: float[2,B,6]

A state that lacks several axes of size one everywhere in the body loses one after the other: what drops or
adds several is first written as two nodes.

Layers are then separate recurrences for :mod:`rnn_export.passes.time.distribute`.

Requires: nothing.
Ensures: no graph gives one value twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.contract import DISTINCT_OUTPUTS, rewriting
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import Program, take_place
from rnn_export.program.scan import Scan, scans
from rnn_export.program.values import constant_ints, describe, original


@dataclass(frozen=True)
class Range:
    """A value that is a range of a stacked state, ``start`` to ``stop``; ``flat`` if it lacks the axis."""

    value: ir.Value
    start: int
    stop: int
    flat: bool


@dataclass(frozen=True)
class Stack:
    """A state that can be taken apart: the parts of its next value, and what the body takes out of it."""

    state: ir.Value
    axis: int
    parts: list[Range]
    reads: list[Range]

    def numbers(self, read: Range) -> list[int]:
        """Number the parts that a range is made of; none if it cuts through one."""
        inside = [
            number
            for number, part in enumerate(self.parts)
            if read.start <= part.start and part.stop <= read.stop
        ]
        covered = sum(self.parts[number].stop - self.parts[number].start for number in inside)
        return inside if covered == read.stop - read.start else []


@rewriting(ensures=[DISTINCT_OUTPUTS])
def separate_layers(program: Program) -> bool:
    """Take the states of every loop apart."""
    graph, changed = program.model.graph, False
    for loop in scans(graph):
        scan, state = loop, 0
        # each turn leaves states of less rank in sum, or one less to look at
        while state < len(scan.states):
            _peel(graph, scan, state)
            stack = _stack(scan, state)
            if stack:
                scan, changed = _take_apart(graph, scan, state, stack), True
            else:
                state += 1
    # a part may be an output of the step as well
    return common.OutputFixPass()(program.model).modified or changed


def _peel(graph: ir.Graph, scan: Scan, number: int) -> None:
    """Let one axis of several that a state lacks in the body be dropped, and added, by nodes of its own."""
    following, readers = original(scan.next_states[number]), list(scan.states[number].consumers())
    maker = following.producer()
    added = _only_axes_of(maker, "Unsqueeze") if maker is not None and maker.graph is scan.body else []
    dropped = [_only_axes_of(node, "Squeeze") for node in readers]
    if len(added) < 2 or maker is None or not all(added[0] in axes for axes in dropped):
        return
    for node, axes in [(maker, added), *zip(readers, dropped, strict=True)]:
        if len(axes) > 1:
            _split_axes(graph, scan.body, node, axes, added[0])


def _only_axes_of(node: ir.Node, op_type: str) -> list[int]:
    """Give the axes that a ``Squeeze`` or an ``Unsqueeze`` lists, counted from the front; none of another."""
    wide = node.inputs[0] if op_type == "Squeeze" else node.outputs[0]
    if node.op_type != op_type or wide is None or wide.shape is None or len(node.inputs) < 2:
        return []
    return sorted(axis % len(wide.shape) for axis in constant_ints(node.inputs[1]) or ())


def _split_axes(graph: ir.Graph, body: ir.Graph, node: ir.Node, axes: list[int], own: int) -> None:
    """Write a ``Squeeze`` as two, the one of an axis in front; an ``Unsqueeze`` with that one behind."""
    value, result, first = node.inputs[0], node.outputs[0], node.op_type == "Squeeze"
    assert value is not None
    wide = list((value if first else result).shape or ())
    others = [axis - (axis > own) for axis in axes if axis != own]
    between, build = [*wide[:own], *wide[own + 1 :]], Builder()
    for number, dropped in enumerate([[own], others] if first else [others, [own]]):
        shape = list(result.shape or ()) if number else between
        places = add_constant(graph, "axes", np.array(dropped))
        value = build.emit(node.op_type, [value, places], like=result, shape=shape)
    body.insert_before(node, build.nodes)
    take_place(body, result, value)
    body.remove(node, safe=True)


def _stack(scan: Scan, number: int) -> Stack | None:
    """Give a state as a stack, if it can be taken apart."""
    state = scan.states[number]
    axis, parts = _parts(scan.next_states[number])
    # a graph inside of the body, or a result, would need the whole stack
    outside = any(use.node.graph is not scan.body for use in state.uses()) or state.is_graph_output()
    if state.shape is None or not parts or outside or (len(parts) == 1 and not parts[0].flat):
        return None
    reads = [list(_reads(reader, state, axis, parts[-1].stop)) for reader in state.consumers()]
    stack = Stack(state, axis, parts, [read for ranges in reads for read in ranges])
    return stack if all(reads) and all(map(stack.numbers, stack.reads)) else None


def _parts(following: ir.Value) -> tuple[int, list[Range]]:
    """Give the axis and the parts of what a ``Concat`` or an ``Unsqueeze`` makes."""
    following = original(following)
    node = following.producer()
    if node is None or following.shape is None or node.op_type not in ("Concat", "Unsqueeze"):
        return 0, []
    single = node.op_type == "Unsqueeze"
    axes = constant_ints(node.inputs[1]) if single else [int_of(node, "axis")]
    if axes is None or len(axes) != 1:
        return 0, []
    axis = axes[0] % len(following.shape)
    parts: list[Range] = []
    for value in [following] if single else node.inputs:
        size = value.shape[axis] if value is not None and value.shape is not None else None
        if value is None or not isinstance(size, int):
            return 0, []
        start = parts[-1].stop if parts else 0
        inner = _before_unsqueeze(value, axis)
        parts.append(Range(inner or value, start, start + size, inner is not None))
    return axis, parts


def _before_unsqueeze(value: ir.Value, axis: int) -> ir.Value | None:
    """Give what a value was before it got the axis, if that is known."""
    node = value.producer()
    if node is None or node.op_type != "Unsqueeze" or value.shape is None:
        return None
    source, axes = node.inputs[0], constant_ints(node.inputs[1])
    added = [number % len(value.shape) for number in axes or ()]
    return source if added == [axis] and source is not None and source.shape is not None else None


def _reads(node: ir.Node, state: ir.Value, axis: int, size: int) -> Iterator[Range]:
    """Give the ranges that a node takes out of a state; nothing if it does something else with it."""
    rank = len(state.shape or ())
    numbers = [constant_ints(argument) for argument in node.inputs[1:]]
    if node.inputs[0] is not state or state in node.inputs[1:] or node.domain != "":
        return
    along = node.op_type in ("Gather", "Split") and int_of(node, "axis") % rank == axis
    if node.op_type == "Gather" and along and numbers[0] and len(numbers[0]) == 1:
        index, shape = numbers[0][0] % size, node.inputs[1].shape  # type: ignore[union-attr]
        yield Range(node.outputs[0], index, index + 1, shape is not None and len(shape) == 0)
    elif node.op_type == "Squeeze" and size == 1 and _axes(numbers, 0, rank) == [axis]:
        yield Range(node.outputs[0], 0, 1, True)
    elif node.op_type == "Slice" and _axes(numbers, 2, rank) == [axis] and numbers[3:] in ([], [[1]]):
        if numbers[0] and numbers[1]:
            start, stop, _ = slice(numbers[0][0], numbers[1][0]).indices(size)
            yield Range(node.outputs[0], start, stop, False)
    elif node.op_type == "Split" and along:
        widths = [part.shape[axis] if part.shape is not None else None for part in node.outputs]
        known = [width for width in widths if isinstance(width, int)]
        ends = np.cumsum(known).tolist() if len(known) == len(widths) else []
        for part, width, stop in zip(node.outputs, known, ends, strict=False):
            yield Range(part, stop - width, stop, False)


def _axes(numbers: Sequence[list[int] | None], place: int, rank: int) -> list[int] | None:
    given = numbers[place] if place < len(numbers) else None
    return None if given is None else [axis % rank for axis in given]


def _take_apart(graph: ir.Graph, scan: Scan, number: int, stack: Stack) -> Scan:
    """Put a loop with a state for each part in the place of one; give the new loop."""
    axis = add_constant(graph, "axis", np.array([stack.axis]))
    _rewrite_body(scan, number, stack, axis)
    build, count, old = Builder(), len(stack.parts), list(scan.node.outputs)
    starts = _split(build, graph, scan.initial_states[number], stack)
    starts = [
        _with_axis(build, start, axis, flat=False, wanted=part.flat)
        for start, part in zip(starts, stack.parts, strict=True)
    ]
    again = scan.with_initial_states(
        [*scan.initial_states[:number], *starts, *scan.initial_states[number + 1 :]]
    )
    build.nodes.append(again.node)
    outputs, lasts = again.node.outputs, []
    for part, last in zip(stack.parts, outputs[number:], strict=False):
        describe(last, part.value)
        lasts.append(_with_axis(build, last, axis, flat=part.flat, wanted=False))
    new = [*outputs[:number], _join(build, lasts, stack.axis), *outputs[number + count :]]
    ir.convenience.replace_nodes_and_values(graph, scan.node, [scan.node], build.nodes, old, new)
    return again


def _rewrite_body(scan: Scan, number: int, stack: Stack, axis: ir.Value) -> None:
    """Let the body have a state for each part, and read those."""
    body, following = scan.body, [part.value for part in stack.parts]
    states = [ir.Value(name=None, shape=value.shape, type=value.type) for value in following]
    build = Builder()
    for read in stack.reads:
        pieces = [
            _with_axis(build, states[k], axis, flat=stack.parts[k].flat, wanted=read.flat)
            for k in stack.numbers(read)
        ]
        joined = _join(build, pieces, stack.axis)
        read.value.replace_all_uses_with(joined, replace_graph_outputs=True)
        # a part may hand an old state on as it is
        following = [joined if value is read.value else value for value in following]
    readers = list(stack.state.consumers())
    body.insert_before(body[0], build.nodes)
    body.remove(readers, safe=True)
    body.inputs[number : number + 1] = states
    body.outputs[number : number + 1] = following


def _split(build: Builder, graph: ir.Graph, start: ir.Value, stack: Stack) -> Sequence[ir.Value]:
    """Take the initial state apart; the parts keep the axis."""
    widths = [part.stop - part.start for part in stack.parts]
    if len(widths) == 1:
        return [start]
    sizes = add_constant(graph, "sizes", np.array(widths))
    parts = build.emit_several("Split", [start, sizes], {"axis": stack.axis}, count=len(widths))
    rest = list(stack.state.shape or ())
    for value, width in zip(parts, widths, strict=True):
        value.shape = ir.Shape([*rest[: stack.axis], width, *rest[stack.axis + 1 :]])
        value.type = stack.state.type
    return parts


def _with_axis(build: Builder, value: ir.Value, axis: ir.Value, *, flat: bool, wanted: bool) -> ir.Value:
    """Add or drop the axis of size one, if a value is not as it is wanted."""
    if flat == wanted:
        return value
    [place], sizes = constant_ints(axis) or [0], list(value.shape or ())
    sizes[place : place + wanted] = [] if wanted else [1]
    return build.emit("Squeeze" if wanted else "Unsqueeze", [value, axis], like=value, shape=sizes)


def _join(build: Builder, parts: Sequence[ir.Value], axis: int) -> ir.Value:
    """Concatenate parts, if there are several."""
    if len(parts) == 1:
        return parts[0]
    sizes = [list(part.shape or ()) for part in parts]
    total = sum(size[axis] for size in sizes if isinstance(size[axis], int))
    whole = [*sizes[0][:axis], total, *sizes[0][axis + 1 :]]
    return build.emit("Concat", parts, {"axis": axis}, like=parts[0], shape=whole)
