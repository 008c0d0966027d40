"""A list whose entries are known is as many tensors.

::

    l = SequenceConstruct (a, b)  m = SequenceInsert (l, c, 0)  n = SequenceErase (m, -1)
    x = SequenceAt (n, 1)  y = ConcatFromSequence <axis = 0> (n)  z = SequenceLength (n)

    x = Identity (a)  y = Concat <axis = 0> (c, a)  z = Constant <value = 2> ()

Part of :mod:`rnn_export.capture.onnx_file.reader`. A place that is not constant, or outside, is left to the
list.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import take_place
from rnn_export.program.values import constant_ints

Entries = Sequence[ir.Value]
Lists = Mapping[ir.Value, Entries]


def entries_of(value: ir.Value | None, known: Lists) -> list[ir.Value] | None:
    """Give the tensors that a list holds; ``known`` are lists whose entries are known otherwise."""
    if value is None or value in known:
        return None if value is None else list(known[value])
    node = value.producer()
    if node is None or node.domain:
        return None
    if node.op_type == "SequenceEmpty":
        return []
    if node.op_type == "SequenceConstruct":
        entries = [each for each in node.inputs if each is not None]
        return entries if len(entries) == len(node.inputs) else None
    if node.op_type not in ("Identity", "SequenceInsert", "SequenceErase"):
        return None
    entries_before = entries_of(node.inputs[0], known)
    return None if entries_before is None else _changed(node, entries_before)


def _changed(node: ir.Node, entries: list[ir.Value]) -> list[ir.Value] | None:
    """Give the entries of a list after an ``Identity``, a ``SequenceInsert`` or a ``SequenceErase``."""
    inserts = node.op_type == "SequenceInsert"
    if node.op_type == "Identity":
        return entries
    place = node.inputs[1 + inserts] if len(node.inputs) > 1 + inserts else None
    at = [len(entries) if inserts else -1] if place is None else constant_ints(place)
    if at is None or not -len(entries) <= at[0] < len(entries) + inserts:
        return None
    before = at[0] + len(entries) if at[0] < 0 else at[0]
    added = [node.inputs[1]] if inserts else []
    return [
        *entries[:before],
        *(each for each in added if each is not None),
        *entries[before + (not inserts) :],
    ]


def resolve(graph: ir.Graph, known: Lists | None = None) -> None:
    """Let what reads a list whose entries are known read these; drop lists that nothing reads then."""
    for node in list(graph):
        rule = RULES.get(node.op_type) if not node.domain else None
        entries = entries_of(node.inputs[0], known or {}) if rule else None
        build = Builder()
        new = rule(build, node, entries) if rule and entries is not None else None
        if new is not None:
            graph.insert_before(node, build.nodes)
            take_place(graph, node.outputs[0], new)
    for node in reversed(list(graph)):
        used = any(value.uses() or value.is_graph_output() for value in node.outputs)
        if not used and node.op_type in (*RULES, *LISTS) and not node.domain:
            graph.remove(node, safe=True)


def _at(build: Builder, node: ir.Node, entries: Entries) -> ir.Value | None:
    place = constant_ints(node.inputs[1])
    inside = place is not None and -len(entries) <= place[0] < len(entries)
    return entries[place[0]] if place is not None and inside else None


def _length(build: Builder, node: ir.Node, entries: Entries) -> ir.Value | None:
    return build.constant(np.array(len(entries)))


def _concat(build: Builder, node: ir.Node, entries: Entries) -> ir.Value | None:
    axis = int_of(node, "axis")
    if not entries:
        return None
    if int_of(node, "new_axis"):
        axes, types = build.constant([axis]), [each.type for each in entries]
        pairs = zip(entries, types, strict=True)
        entries = [build.emit("Unsqueeze", [each, axes], type=kind) for each, kind in pairs]
    return build.emit("Concat", list(entries), {"axis": axis}, like=node.outputs[0])


LISTS = ("SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceErase", "Identity")
RULES: dict[str, Callable[[Builder, ir.Node, Entries], ir.Value | None]] = {
    "SequenceAt": _at,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat,
}
