"""Axes of size one go, in the graph and in the bodies of its loops.

A step is traced on a single time step, so that its time axis, and often an axis of layers, has size one all
the way through. A ``Squeeze`` is pushed up through what made its argument
(:mod:`rnn_export.passes.cleanup.entrywise`), until it meets the ``Unsqueeze`` that made the axis, a constant,
or a state::

    u = Unsqueeze (x, [0])  p = MatMul (u, W)  t = Tanh (p)  y = Squeeze (t, [0])     # t: float[1,B,6]

    p = MatMul (x, W)  y = Tanh (p)                                                   # y: float[B,6]

What else reads ``t`` reads ``Unsqueeze (y, [0])``. A state that is then squeezed at the top of the step and
gets its axis back at the end loses it in :mod:`rnn_export.passes.cleanup.layers`. Written as a ``Squeeze``
first: picking the only entry of an axis, and a ``Reshape`` that drops axes of size one; one that adds them
becomes an ``Unsqueeze``.

Requires: nothing.
Ensures: no ``Squeeze`` is left that can be pushed up; no graph gives one value twice.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.cleanup.entrywise import Without, rebuild, size_of, without
from rnn_export.passes.contract import DISTINCT_OUTPUTS, Property, rewriting
from rnn_export.program.build import Builder, add_constant
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import Program, take_place
from rnn_export.program.values import constant_ints, constant_value

PUSHED_UP = Property(
    "no Squeeze is left that can be pushed up",
    lambda program: (
        not any(
            _pushed(graph, node)
            for graph in program.model.graphs()
            for node in graph
            if node.op_type == "Squeeze"
        )
    ),
)


@rewriting(ensures=[PUSHED_UP, DISTINCT_OUTPUTS])
def remove_unit_axes(program: Program) -> bool:
    """Push every ``Squeeze`` up as far as it goes."""
    main, changed = program.model.graph, False
    for graph in program.model.graphs():
        rewritten = [_write_as_squeeze(main, graph, node) for node in list(graph)]
        changed |= any(rewritten)
        while any(_push(main, graph, node) for node in list(graph) if node.op_type == "Squeeze"):
            changed = True
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


def _push(main: ir.Graph, graph: ir.Graph, squeeze: ir.Node) -> bool:
    """Let the node in front of a ``Squeeze`` do without one of the axes; say whether it can."""
    found = _pushed(graph, squeeze)
    if found is not None:
        _do_without(main, graph, *found)
    return found is not None


def _pushed(graph: ir.Graph, squeeze: ir.Node) -> tuple[ir.Node, int, Without] | None:
    """Give the node in front of a ``Squeeze`` that can do without one of its axes, that axis, and how."""
    [value, axes_value, *_] = [*squeeze.inputs, None]
    node, axes = value.producer() if value is not None else None, constant_ints(axes_value)
    if squeeze.graph is not graph or value is None or value.shape is None or not axes:
        return None
    if node is None or node.graph is not graph:
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
