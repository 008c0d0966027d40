"""Axes of size one go, in the graph and in the bodies of its loops.

A step is traced on a single time step, so that its time axis, and often an axis of layers, has size one all
the way through. A ``Squeeze`` is pushed up through what made its argument
(:mod:`rnn_export.passes.cleanup.entrywise`), until it meets the ``Unsqueeze`` that made the axis, a constant,
or a state; who else reads the argument reads an ``Unsqueeze`` of the smaller one. A state that is then
squeezed at the top of the step and gets its axis back at the end loses it in
:mod:`rnn_export.passes.cleanup.layers`.

Written as a ``Squeeze`` first: picking the only entry of an axis, and a ``Reshape`` that drops axes of size
one; one that adds them becomes an ``Unsqueeze``.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_export.passes.cleanup.entrywise import Without, rebuild, size_of, without
from rnn_export.program.constants import add_constant, constant, constant_ints
from rnn_export.program.program import Program, name_apart, take_place


def squeeze(program: Program) -> Program:
    """Push every ``Squeeze`` up as far as it goes."""
    program = program.copy()
    main = program.model.graph
    for graph in program.model.graphs():
        for node in list(graph):
            _say_so(main, graph, node)
        while any(_push(main, graph, node) for node in list(graph) if node.op_type == "Squeeze"):
            pass
    common.RemoveUnusedNodesPass()(program.model)
    common.OutputFixPass()(program.model)  # a value may be two outputs of the step now
    name_apart(program.model)
    return program


def _say_so(main: ir.Graph, graph: ir.Graph, node: ir.Node) -> None:
    """Write a node as ``Squeeze`` or ``Unsqueeze`` if it does just that."""
    for op_type, axes in _only_axes(node):
        plain = ir.node(op_type, [node.inputs[0], add_constant(main, "axes", np.array(axes))])
        plain.outputs[0].shape, plain.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
        graph.insert_before(node, plain)
        take_place(graph, node.outputs[0], plain.outputs[0])
        graph.remove(node, safe=True)
        return


def _only_axes(node: ir.Node) -> Iterator[tuple[str, list[int]]]:
    """Give the axes of size one that are all that a node drops, or adds."""
    if node.op_type not in ("Gather", "Reshape") or node.domain != "":
        return
    source, shape = node.inputs[0], node.outputs[0].shape
    if source is None or source.shape is None or shape is None or constant(source) is not None:
        return
    before, after = list(source.shape), list(shape)
    if node.op_type == "Gather":
        axis = node.attributes.get_int("axis", 0) % len(before)
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
    [value, axes_value, *_] = [*squeeze.inputs, None]
    node, axes = value.producer() if value is not None else None, constant_ints(axes_value)
    if squeeze.graph is not graph or value is None or value.shape is None or not axes:
        return False
    if node is None or node.graph is not graph:
        return False
    for axis in (axis % len(value.shape) for axis in axes):
        plan = without(node, axis) if size_of(value, axis) == 1 else None
        if plan is not None and all(size_of(output, axis) == 1 for output in node.outputs):
            _do_without(main, graph, node, axis, plan)
            return True
    return False


def _do_without(main: ir.Graph, graph: ir.Graph, node: ir.Node, axis: int, plan: Without) -> None:
    """Put a node without one of the axes in the place of a node."""
    added: list[ir.Node] = []
    twin = rebuild(main, node, axis, plan, lambda source, own: _squeezed(main, added, source, own))
    graph.insert_before(node, [*added, twin])
    for old, new in zip(node.outputs, twin.outputs, strict=True):
        _read_without(main, graph, old, new, axis)
    graph.remove(node, safe=True)


def _squeezed(main: ir.Graph, added: list[ir.Node], value: ir.Value, axis: int) -> ir.Value:
    array = constant(value)
    if array is not None:
        return add_constant(main, f"{value.name}/squeezed", array.squeeze(axis))
    node = ir.node("Squeeze", [value, add_constant(main, "axis", np.array([axis]))])
    sizes = list(value.shape or ())
    node.outputs[0].shape, node.outputs[0].type = ir.Shape([*sizes[:axis], *sizes[axis + 1 :]]), value.type
    added.append(node)
    return node.outputs[0]


def _read_without(main: ir.Graph, graph: ir.Graph, old: ir.Value, new: ir.Value, axis: int) -> None:
    """Let readers of a value read the one without the axis: squeezed no more, or through ``Unsqueeze``."""
    rank = len(old.shape or ())
    for reader in [reader for reader in old.consumers() if reader.op_type == "Squeeze"]:
        axes = [
            number % rank
            for number in constant_ints(reader.inputs[1] if len(reader.inputs) > 1 else None) or ()
        ]
        if axis not in axes or reader.graph is not graph:
            continue
        left = [number - (number > axis) for number in axes if number != axis]
        if left:
            reader.replace_input_with(0, new)
            reader.replace_input_with(1, add_constant(main, "axes", np.array(left)))
        else:
            take_place(graph, reader.outputs[0], new)
            graph.remove(reader, safe=True)
    if old.uses() or old.is_graph_output():
        node = ir.node("Unsqueeze", [new, add_constant(main, "axis", np.array([axis]))])
        node.outputs[0].shape, node.outputs[0].type = old.shape, old.type
        graph.insert_after(new.producer(), node)  # type: ignore[arg-type]
        take_place(graph, old, node.outputs[0])
