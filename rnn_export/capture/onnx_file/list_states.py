"""Lists that a ``Loop`` carries: of as many entries as it had, or of one more after each step.

::

    l = SequenceConstruct (a, b)
    m = Loop (T, , l) <body = (i, go, l_s) => (go, l_t) {
        h = SequenceAt (l_s, 0)  ...  l_t = SequenceConstruct (h_t, g_t) }>

    c, d = Loop (T, , a, b) <body = (i, go, h, g) => (go, h_t, g_t) { ... }>
    m = SequenceConstruct (c, d)

The entry that was put last into a list is a state as well, where it is read::

    h = SequenceAt (l_s, -1)  ...  l_t = SequenceInsert (l_s, h_t)

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rnn_export.capture.onnx_file.list_entries import entries_of, resolve
from rnn_export.capture.onnx_file.loop_node import rebuilt
from rnn_export.errors import NotAFoldError
from rnn_export.program.build import Builder
from rnn_export.program.program import take_place
from rnn_export.program.values import constant_ints, describe, original


def open_lists(graph: ir.Graph, loop: ir.Node) -> ir.Node:
    """Carry tensors in the place of lists where that is the same; give the new ``Loop``."""
    for k in reversed(range(len(loop.inputs) - 2)):
        start = loop.inputs[2 + k]
        if start is not None and isinstance(start.type, ir.SequenceType):
            entries = entries_of(start, {})
            if entries:
                loop = _opened(graph, loop, k, entries)
    return loop


def _opened(graph: ir.Graph, loop: ir.Node, k: int, entries: list[ir.Value]) -> ir.Node:
    """Carry the entries of a list, if there are as many after a step; otherwise the last, if it is read."""
    body = loop.attributes["body"].as_graph()
    own, following = body.inputs[2 + k], body.outputs[1 + k]
    inner = [ir.Value(name=None, shape=entry.shape, type=entry.type) for entry in entries]
    after = entries_of(following, {own: inner})
    if after is not None and len(after) == len(entries):
        return _as_tensors(graph, loop, k, _Tensors(entries, inner, after))
    last, appended = _reads_of_last(own), _appended(following, own)
    if not last or appended is None:
        return loop
    for node in last:
        node.outputs[0].replace_all_uses_with(inner[-1], replace_graph_outputs=True)
        body.remove(node, safe=True)
    return _with_tensor(graph, loop, _Tensors(entries[-1:], inner[-1:], [appended]))


@dataclass(frozen=True)
class _Tensors:
    """What a loop carries: before it, at the start and at the end of a step."""

    starts: list[ir.Value]
    inner: list[ir.Value]
    after: list[ir.Value]


def _as_tensors(graph: ir.Graph, loop: ir.Node, k: int, tensors: _Tensors) -> ir.Node:
    """Carry tensors in the place of a list."""
    body = loop.attributes["body"].as_graph()
    own, count = body.inputs[2 + k], len(tensors.inner)
    body.inputs.extend(tensors.inner)
    resolve(body, {own: tensors.inner})
    # what reads an entry of the list reads what it is: also what a step gives
    after = entries_of(body.outputs[1 + k], {own: tensors.inner}) or []
    _give(body, [*body.outputs[: 1 + k], *after, *body.outputs[2 + k :]])
    resolve(body)
    if own.uses():
        raise NotAFoldError("a list of it is read inside, at a place that is not constant")
    body.inputs[:] = [*body.inputs[: 2 + k], *tensors.inner, *body.inputs[3 + k : -count]]
    inputs = [*loop.inputs[: 2 + k], *tensors.starts, *loop.inputs[3 + k :]]
    listed = loop.outputs[k]
    outputs = [*loop.outputs[:k], *[None] * count, *loop.outputs[k + 1 :]]
    build = Builder()
    # the list after the loop: made of what the new loop gives, which is there once it is
    whole = build.emit("SequenceConstruct", tensors.starts, type=listed.type)
    graph.insert_after(loop, build.nodes)
    take_place(graph, listed, whole)
    made = rebuilt(graph, loop, inputs, outputs)
    for place, (start, final) in enumerate(zip(tensors.starts, made.outputs[k : k + count], strict=True)):
        describe(final, start)
        build.nodes[0].replace_input_with(place, final)
    return made


def _with_tensor(graph: ir.Graph, loop: ir.Node, tensors: _Tensors) -> ir.Node:
    """Carry a tensor as well: behind all states, in front of what is given for all steps."""
    body = loop.attributes["body"].as_graph()
    states = len(loop.inputs) - 2
    body.inputs.extend(tensors.inner)
    _give(body, [*body.outputs[: 1 + states], *tensors.after, *body.outputs[1 + states :]])
    outputs = [*loop.outputs[:states], None, *loop.outputs[states:]]
    return rebuilt(graph, loop, [*loop.inputs, *tensors.starts], outputs)


def _give(body: ir.Graph, values: Sequence[ir.Value]) -> None:
    """Let a body give values, each of which is its own and there once."""
    build, seen = Builder(), set()
    given = []
    for value in values:
        own = value.producer() is not None and value not in seen
        given.append(value if own else build.emit("Identity", [value], like=value))
        seen.add(value)
    body.extend(build.nodes)
    body.outputs[:] = given


def _reads_of_last(own: ir.Value) -> list[ir.Node]:
    """List the nodes that read the last entry of a list."""
    reads = [use.node for use in own.uses() if use.node.op_type == "SequenceAt"]
    return [node for node in reads if constant_ints(node.inputs[1]) == [-1]]


def _appended(following: ir.Value, own: ir.Value) -> ir.Value | None:
    """Give what is put behind a list in each step."""
    node = original(following).producer()
    if node is None or node.op_type != "SequenceInsert" or node.inputs[0] is not own:
        return None
    return node.inputs[1] if len(node.inputs) < 3 or node.inputs[2] is None else None
