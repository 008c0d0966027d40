"""Axes of size one go, in the graph and in the bodies of its loops.

A step is traced on a single time step, so that its time axis, and often an axis of layers, has size one all
the way through. A ``Squeeze`` is pushed up through what made its argument
(:mod:`rnn_export.passes.cleanup.entrywise`), until it meets the ``Unsqueeze`` that made the axis, a constant,
or a state::

    u = Unsqueeze (x, [0])  p = MatMul (u, W)  t = Tanh (p)  y = Squeeze (t, [0])     # t: float[1,B,6]

    p = MatMul (x, W)  y = Tanh (p)                                                   # y: float[B,6]

What else reads ``t`` reads ``Unsqueeze (y, [0])``. Where a ``Squeeze`` meets another one, or an ``Unsqueeze``
that adds other axes, the two become at most one ``Squeeze`` and one ``Unsqueeze`` behind it; two
``Unsqueeze`` become one. So none is ever pushed through another one, and the pass ends (:func:`_advance`)::

    a = Squeeze (x, [0])    b = Squeeze (a, [0])          ->  b = Squeeze (x, [0, 1])    # x: float[1,1,B,6]
    a = Unsqueeze (x, [0])  b = Squeeze (a, [1])          ->  c = Squeeze (x, [0])  b = Unsqueeze (c, [0])

A state that is then squeezed at the top of the step and gets its axis back at the end loses it in
:mod:`rnn_export.passes.cleanup.layers`. Written as a ``Squeeze`` first: picking the only entry of an axis,
and a ``Reshape`` that drops axes of size one; one that adds them becomes an ``Unsqueeze``.

Requires: nothing.
Ensures: no ``Squeeze`` is left that can be pushed up or joined; no graph gives one value twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.cleanup.entrywise import Without, rebuild, size_of, without
from rnn_export.passes.contract import DISTINCT_OUTPUTS, TURNS, Property, rewriting, settle
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import Program, take_place
from rnn_export.program.values import constant_ints, constant_value

AXES = ("Squeeze", "Unsqueeze")  # what only drops or adds axes of size one
PUSHED_UP = Property(
    "no Squeeze is left that can be pushed up or joined",
    lambda program: (
        not any(
            _joined(graph, node) or _pushed(graph, node)
            for graph in program.model.graphs()
            for node in graph
            if node.op_type in AXES
        )
    ),
)


@dataclass(frozen=True)
class Axes:
    """What two nodes do to ``source`` together: they drop some of its axes, and then add axes of size one."""

    source: ir.Value
    dropped: list[int]
    added: list[int]


@rewriting(ensures=[PUSHED_UP, DISTINCT_OUTPUTS])
def remove_unit_axes(program: Program) -> bool:
    """Push every ``Squeeze`` up as far as it goes."""
    main, changed = program.model.graph, False
    for graph in program.model.graphs():
        rewritten = [_write_as_squeeze(main, graph, node) for node in list(graph)]
        changed |= any(rewritten)
        changed |= settle(partial(_advance_one, main, graph), TURNS * (1 + len(graph)))
    changed |= common.RemoveUnusedNodesPass()(program.model).modified
    # a value may be two outputs of the step now
    return common.OutputFixPass()(program.model).modified or changed


def _write_as_squeeze(main: ir.Graph, graph: ir.Graph, node: ir.Node) -> bool:
    """Write a node as ``Squeeze`` or ``Unsqueeze`` if it does just that; say whether it does."""
    for op_type, axes in _only_axes(node):
        build = Builder()
        places = add_constant(main, "axes", np.array(axes))
        result = build.emit(op_type, [node.inputs[0], places], like=node.outputs[0])
        graph.insert_before(node, build.nodes)
        take_place(graph, node.outputs[0], result)
        graph.remove(node, safe=True)
        return True
    return False


def _only_axes(node: ir.Node) -> Iterator[tuple[str, list[int]]]:
    """Give the axes of size one that are all that a node drops, or adds."""
    if node.op_type not in ("Gather", "Reshape") or node.domain != "":
        return
    source, shape = node.inputs[0], node.outputs[0].shape
    if source is None or source.shape is None or shape is None or constant_value(source) is not None:
        return
    before, after = list(source.shape), list(shape)
    if node.op_type == "Gather":
        axis = int_of(node, "axis") % len(before)
        single = before[axis] == 1 and constant_ints(node.inputs[1]) in ([0], [-1])
        if single and after == [*before[:axis], *before[axis + 1 :]]:
            yield "Squeeze", [axis]
    elif len(before) != len(after) and None not in map(_name, (*before, *after)):
        longer, shorter = (before, after) if len(before) > len(after) else (after, before)
        axes = _ones(longer, shorter)
        if axes is not None:
            yield "Squeeze" if longer is before else "Unsqueeze", axes


def _name(size: int | ir.SymbolicDim) -> int | str | None:
    return size if isinstance(size, int) else size.value


def _ones(longer: list[int | ir.SymbolicDim], shorter: list[int | ir.SymbolicDim]) -> list[int] | None:
    """Give the axes of size one without which a shape is another; ``None`` if there are no such axes."""
    axes, left = [], list(shorter)
    for axis, size in enumerate(longer):
        if left and left[0] == size:
            left.pop(0)
        elif size == 1:
            axes.append(axis)
        else:
            return None
    return None if left else axes


def _advance_one(main: ir.Graph, graph: ir.Graph) -> bool:
    """Advance one ``Squeeze`` of a graph; say whether one can."""
    return any(_advance(main, graph, node) for node in list(graph) if node.op_type in AXES)


def _advance(main: ir.Graph, graph: ir.Graph, node: ir.Node) -> bool:
    """Join a node with the one in front, or let that one do without an axis; say whether either can be.

    To do without an axis makes the ranks of what all nodes but these two operators give smaller in sum. To
    join leaves them, and shortens the unbroken chain of these operators in front of the node, and no other
    chain grows: neither can go on for ever.
    """
    axes = _joined(graph, node)
    if axes is not None:
        _join(main, graph, node, axes)
        return True
    found = _pushed(graph, node)
    if found is not None:
        _do_without(main, graph, *found)
    return found is not None


def _joined(graph: ir.Graph, node: ir.Node) -> Axes | None:
    """Say what a node does together with the one in front, unless that drops axes and this one adds some."""
    first = node.inputs[0].producer() if node.inputs[0] is not None else None
    if node.graph is not graph or first is None or first.graph is not graph or first.op_type not in AXES:
        return None
    source, numbers = first.inputs[0], [_listed(first), _listed(node)]
    if [first.op_type, node.op_type] == [*AXES] or source is None or source.shape is None:
        return None
    axes: list[int | None] = list(range(len(source.shape)))
    for each, listed in zip((first, node), numbers, strict=True):
        if listed is None:
            return None
        if each.op_type == "Squeeze":
            gone = {axis % len(axes) for axis in listed}
            axes = [axis for place, axis in enumerate(axes) if place not in gone]
        else:
            rank = len(axes) + len(listed)
            new, old = {axis % rank for axis in listed}, iter(axes)
            axes = [None if place in new else next(old) for place in range(rank)]
    dropped = [axis for axis in range(len(source.shape)) if axis not in axes]
    return Axes(source, dropped, [place for place, axis in enumerate(axes) if axis is None])


def _listed(node: ir.Node) -> list[int] | None:
    """Give the axes that a ``Squeeze`` or an ``Unsqueeze`` lists; ``None`` if they are not known."""
    return constant_ints(node.inputs[1]) if len(node.inputs) > 1 else None


def _join(main: ir.Graph, graph: ir.Graph, node: ir.Node, axes: Axes) -> None:
    """Put what two nodes do together in the place of the second."""
    build, result, sizes = Builder(), axes.source, list(axes.source.shape or ())
    for op_type, numbers in zip(AXES, (axes.dropped, axes.added), strict=True):
        if op_type == "Squeeze":
            sizes = [size for place, size in enumerate(sizes) if place not in numbers]
        for place in numbers if op_type == "Unsqueeze" else ():
            sizes.insert(place, 1)
        if numbers:
            places = add_constant(main, "axes", np.array(numbers))
            result = build.emit(op_type, [result, places], like=axes.source, shape=sizes)
    graph.insert_before(node, build.nodes)
    take_place(graph, node.outputs[0], result)
    graph.remove(node, safe=True)


def _pushed(graph: ir.Graph, squeeze: ir.Node) -> tuple[ir.Node, int, Without] | None:
    """Give the node in front of a ``Squeeze`` that can do without one of its axes, that axis, and how."""
    value, axes = squeeze.inputs[0], _listed(squeeze)
    node = value.producer() if value is not None else None
    if squeeze.op_type != "Squeeze" or squeeze.graph is not graph or value is None or value.shape is None:
        return None
    if not axes or node is None or node.graph is not graph or node.op_type in AXES:
        return None
    for axis in (axis % len(value.shape) for axis in axes):
        plan = without(node, axis) if size_of(value, axis) == 1 else None
        if plan is not None and all(size_of(output, axis) == 1 for output in node.outputs):
            return node, axis, plan
    return None


def _do_without(main: ir.Graph, graph: ir.Graph, node: ir.Node, axis: int, plan: Without) -> None:
    """Put a node without one of the axes in the place of a node."""
    build = Builder()
    smaller = rebuild(build, main, node, axis, plan, lambda source, own: _squeezed(build, main, source, own))
    graph.insert_before(node, build.nodes)
    for old, new in zip(node.outputs, smaller, strict=True):
        _read_without(main, graph, old, new, axis)
    graph.remove(node, safe=True)


def _squeezed(build: Builder, main: ir.Graph, value: ir.Value, axis: int) -> ir.Value:
    """Give a value without an axis of size one; of a constant, a smaller constant."""
    array = constant_value(value)
    if array is not None:
        return add_constant(main, f"{value.name}/squeezed", array.squeeze(axis))
    sizes = list(value.shape or ())
    place = add_constant(main, "axis", np.array([axis]))
    return build.emit("Squeeze", [value, place], like=value, shape=[*sizes[:axis], *sizes[axis + 1 :]])


def _read_without(main: ir.Graph, graph: ir.Graph, old: ir.Value, new: ir.Value, axis: int) -> None:
    """Let readers of a value read the one without the axis: squeezed no more, or through ``Unsqueeze``."""
    # A Squeeze and the Unsqueeze below would meet again; the next round would push the one up to the other.
    for reader in [reader for reader in old.consumers() if reader.op_type == "Squeeze"]:
        if reader.graph is graph:
            _squeeze_less(main, reader, new, axis)
    if old.uses() or old.is_graph_output():
        build = Builder()
        wide = build.emit("Unsqueeze", [new, add_constant(main, "axis", np.array([axis]))], like=old)
        graph.insert_after(new.producer(), build.nodes)  # type: ignore[arg-type]
        take_place(graph, old, wide)


def _squeeze_less(main: ir.Graph, squeeze: ir.Node, new: ir.Value, axis: int) -> None:
    """Let a ``Squeeze`` that drops this axis read a value without it, and drop the others alone."""
    [value, axes_value, *_] = [*squeeze.inputs, None]
    rank = len(value.shape or ()) if value is not None else 0
    axes = [number % rank for number in constant_ints(axes_value) or ()]
    left = [number - (number > axis) for number in axes if number != axis]
    if axis not in axes:
        return
    if left:
        squeeze.replace_input_with(0, new)
        squeeze.replace_input_with(1, add_constant(main, "axes", np.array(left)))
    else:
        graph = squeeze.graph
        take_place(graph, squeeze.outputs[0], new)  # type: ignore[arg-type]
        graph.remove(squeeze, safe=True)  # type: ignore[union-attr]
