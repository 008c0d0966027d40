"""Where the body of a ``Loop`` reads a sequence, one entry of it in each step.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`: a ``Gather`` or ``Slice`` of one entry, from outside
of the loop, at a place that goes along with the number of the iteration::

    x_t = Gather (x, i)                      place {ITERATION: 1}
    x_t = Gather (x, T - 1 - i)              place {"size T": 1, ONE: -1, ITERATION: -1}
    x_t = Slice (x, [i + 1], [i + 2], [0])   place {ITERATION: 1, ONE: 1}, and the axis stays

A ``Gather`` outside of ``x`` fails, in the loop as in front of it. A ``Slice`` outside of ``x`` gives
nothing: it is a read only if that cannot happen, or if the ``Squeeze`` behind it fails then.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_export.capture.onnx_file.affine_index import (
    FAR,
    ITERATION,
    ONE,
    Form,
    form,
    forms,
    is_at_least,
    minus,
    name_unknown,
    number,
    plus,
    size,
    times,
)
from rnn_export.capture.onnx_file.first_step import at_first, scalar
from rnn_export.capture.onnx_file.trip_count import Trips
from rnn_export.errors import NotAFoldError
from rnn_export.program.build import Builder
from rnn_export.program.operator_facts import int_of
from rnn_export.program.scan import FORWARD, REVERSED
from rnn_export.program.values import constant_ints

FEW = 1 << 20  # places that may be listed without a look at how many entries there are
WHOLE_NUMBERS = ir.TensorType(ir.DataType.INT64)


@dataclass(frozen=True)
class Read:
    """A node of the body that reads an entry of a sequence, and its place."""

    node: ir.Node
    source: ir.Value
    axis: int
    place: Form
    number: int = 0  # where the place stands in the list of places that the node takes

    @property
    def whole(self) -> bool:
        """Whether the time axis, of size 1, stays."""
        index = self.node.inputs[1]
        return self.node.op_type == "Slice" or bool(index is not None and index.shape)


def find_reads(body: ir.Graph, varying: Collection[ir.Value], known: dict[ir.Value, Form]) -> list[Read]:
    """List the reads of a body, those of a ``Slice`` whether or not they are outside of what they read.

    Args:
        body: of a loop.
        varying: all that is not the same in every step.
        known: the numbers that it counts; those that do not change are added.

    Raises:
        NotAFoldError: the axis of a read is not known.
    """
    rules = {"Gather": _gathered, "Slice": _sliced}
    found = []
    for node in body:
        source = node.inputs[0] if node.inputs else None
        if source is not None and source not in varying and node.op_type in rules and not node.domain:
            for place in node.inputs[1:]:
                name_unknown(place, body, known)
            read = rules[node.op_type](node, source, known)
            found += [read] if read is not None and read.place.get(ITERATION) else []
    return found


def is_read(read: Read, trips: Trips) -> bool:
    """Whether a node never reads outside of its source without failing; the loop runs so many times."""
    return _fails_outside(read) or (not trips.once and _is_inside(read, trips))


def _fails_outside(read: Read) -> bool:
    uses = read.node.outputs[0].uses()
    return read.node.op_type == "Gather" or all(_squeezes(use.node, read.axis) for use in uses)


def direction_of(read: Read, trips: Trips) -> int | None:
    """Say from which end a sequence is read as a whole, if it is."""
    if trips.length is None or size(read.source, read.axis) != trips.length:
        return None
    last = minus(trips.length, number(1))
    places = [(FORWARD, {ITERATION: 1}), (REVERSED, minus(last, {ITERATION: 1}))]
    return next((direction for direction, place in places if place == read.place), None)


def picked(read: Read, trips: Trips, loop: ir.Node, build: Builder) -> ir.Value:
    """Put the entries that a loop reads one after the other: a ``Gather`` fails if one is outside.

    ::

        x_t = Gather (x, 2 i + 1)

        xs = Gather (x, [1, 3, 5, ...])  x_t = xs[i]
    """
    axis, count = read.axis, scalar(build, trips.value)
    sizes: dict[str, object] = {"start": axis, "end": axis + 1}
    whole = scalar(build, build.emit("Shape", [read.source], sizes, shape=[1], type=WHOLE_NUMBERS))
    inside, few = not trips.once and _is_inside(read, trips), _is_few(trips)
    constant = few and set(_at(read.place, {})) <= {ONE}
    if not inside and not few:  # no more places than it takes to be outside, from either end
        twice = build.emit("Mul", [whole, build.constant(np.array(2))], like=count)
        most = build.emit("Add", [twice, build.constant(np.array(1))], like=count)
        count = build.emit("Min", [count, most], like=count)
    step, first = build.constant(np.array(read.place[ITERATION])), _first(read, loop, build)
    reach = count if read.place[ITERATION] == 1 else build.emit("Mul", [count, step], like=count)
    end = reach if not _at(read.place, {}) else build.emit("Add", [first, reach], like=count)
    places = build.emit("Range", [first, end, step], shape=[None], type=WHOLE_NUMBERS)
    if (
        not inside and not constant
    ):  # ONNX Runtime makes a Slice of the Gather of a Range, which does not fail outside
        places = build.emit("Min", [places, whole], shape=[None], type=WHOLE_NUMBERS)
    if read.node.op_type == "Slice" and not _is_natural(read, trips):  # from -1 to 0 there is nothing
        last = build.emit(
            "Equal", [places, build.constant(np.array(-1))], type=ir.TensorType(ir.DataType.BOOL)
        )
        places = build.emit("Where", [last, whole, places], shape=[None], type=WHOLE_NUMBERS)
    entries = build.emit("Gather", [read.source, places], {"axis": axis}, type=read.source.type)
    shape = list(read.source.shape or ())
    entries.shape = ir.Shape([None if place == axis else each for place, each in enumerate(shape)])
    return entries


def _is_few(trips: Trips) -> bool:
    return trips.length is not None and set(trips.length) <= {ONE} and trips.length.get(ONE, 0) <= FEW


def _first(read: Read, loop: ir.Node, build: Builder) -> ir.Value:
    """Give the place of the first step."""
    known, index = _at(read.place, {}), read.node.inputs[1]
    if set(known) <= {ONE}:
        return build.constant(np.array(known.get(ONE, 0)))
    assert index is not None
    return scalar(build, at_first(index, loop, build), read.number)


def _is_inside(read: Read, trips: Trips) -> bool:
    """Whether no step reads outside, as far as the loop runs as often as it is asked to."""
    first, last = _ends(read, trips)
    highest = last if read.place[ITERATION] > 0 else first
    if highest is None or not _is_natural(read, trips):
        return False
    return is_at_least(minus(size(read.source, read.axis), highest), 1)


def _is_natural(read: Read, trips: Trips) -> bool:
    """Whether no place is below 0."""
    first, last = _ends(read, trips)
    lowest = first if read.place[ITERATION] > 0 else last
    return lowest is not None and is_at_least(lowest, 0)


def _ends(read: Read, trips: Trips) -> tuple[Form, Form | None]:
    """Give the places of the first and the last step."""
    last = None if trips.length is None else _at(read.place, minus(trips.length, number(1)))
    return _at(read.place, {}), last


def _at(place: Form, iteration: Form) -> Form:
    """Give a place at the iteration of a number."""
    rest = {symbol: factor for symbol, factor in place.items() if symbol != ITERATION}
    return plus(rest, times(iteration, place[ITERATION]))


def _squeezes(node: ir.Node, axis: int) -> bool:
    source = node.inputs[0]
    if node.op_type != "Squeeze" or len(node.inputs) < 2 or source is None or source.shape is None:
        return False
    axes = constant_ints(node.inputs[1])
    return axes is not None and axis in [each % len(source.shape) for each in axes]


def _gathered(node: ir.Node, source: ir.Value, known: Mapping[ir.Value, Form]) -> Read | None:
    index = node.inputs[1]
    few = index is not None and index.shape is not None and len(index.shape) < 2
    place = form(index, known) if few else None
    return None if place is None else Read(node, source, _axis(int_of(node, "axis"), source), place)


def _sliced(node: ir.Node, source: ir.Value, known: Mapping[ir.Value, Form]) -> Read | None:
    """Slice: one entry of an axis, and all of each other axis that is named."""
    starts, ends = forms(node.inputs[1], known), forms(node.inputs[2], known)
    given = [constant_ints(value) if value is not None else None for value in node.inputs[3:5]]
    axes, steps = [*given, None, None][:2]
    if starts is None or ends is None or len(starts) != len(ends) or {*(steps or [1])} != {1}:
        return None
    moving = [place for place, start in enumerate(starts) if ITERATION in start]
    if len(moving) != 1 or minus(ends[moving[0]], starts[moving[0]]) != number(1):
        return None
    if axes is None and len(node.inputs) > 3 and node.inputs[3] is not None:
        raise NotAFoldError(f"the axis along which it reads {source.name!r} is unknown")
    named = [_axis(axis, source) for axis in (axes if axes is not None else range(len(starts)))]
    others = [place for place in range(len(starts)) if place not in moving]
    if not all(_is_all(starts[place], ends[place], size(source, named[place])) for place in others):
        return None
    return Read(node, source, named[moving[0]], starts[moving[0]], moving[0])


def _is_all(start: Form, end: Form, whole: Form) -> bool:
    return not start and (end == whole or (set(end) == {ONE} and end[ONE] >= FAR))


def _axis(axis: int, source: ir.Value) -> int:
    if source.shape is None:
        raise NotAFoldError(f"the axis along which it reads {source.name!r} is unknown")
    return axis % len(source.shape)
