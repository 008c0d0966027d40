"""How often a ``Loop`` runs: as its trip count says, or until its condition is false.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`. A condition that compares what the loop counts with
what does not change in it, as others write ``while t < N``, is a trip count::

    go_on = Less (t + 1, N), t = first + iteration         go_on is true while  N - first - 1 - iteration > 0
    at the start: Less (first, N)                          the same at iteration -1

In general a comparison is true while ``ahead - step * iteration > 0``, in whole numbers. If the same is asked
at the start, the loop runs ``max(0, ceil(ahead / step) + 1)`` times. Of several comparisons joined with
``And``, and of the trip count, the least counts. A loop that asks nothing at its start runs once at least.

Source: https://onnx.ai/onnx/operators/onnx__Loop.html.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_export.capture.onnx_file.affine_index import (
    FAR,
    ITERATION,
    ONE,
    Form,
    form,
    minus,
    number,
    plus,
)
from rnn_export.errors import NotAFoldError
from rnn_export.program.build import Builder
from rnn_export.program.values import constant_value, original

WHOLE = (ir.DataType.INT32, ir.DataType.INT64)
# Whether the first of the two has to be the smaller one, and by how much at least.
COMPARISONS = {
    "Less": (True, 1),
    "LessOrEqual": (True, 0),
    "Greater": (False, 1),
    "GreaterOrEqual": (False, 0),
}
STOPS = "its condition is not constantly true, nor a comparison of what it counts: it may stop early"
START = "its condition at the start is not the one of its steps, one step earlier"


@dataclass(frozen=True)
class Trips:
    """How often a loop runs: a value of the graph, and the same as a form if it is one.

    If it runs ``once`` at least, the form may be less than that.
    """

    value: ir.Value
    length: Form | None
    once: bool = False


@dataclass(frozen=True)
class _Comparison:
    """``more - less >= least``, of two values of a graph."""

    less: ir.Value
    more: ir.Value
    least: int

    def form(self, known: dict[ir.Value, Form]) -> Form:
        """Give ``more - less + 1 - least``, which is above 0 while this is true.

        Raises:
            NotAFoldError: it is not known.
        """
        less, more = form(self.less, known), form(self.more, known)
        if less is None or more is None or not {self.less.dtype, self.more.dtype} <= {*WHOLE}:
            raise NotAFoldError(STOPS)
        return plus(minus(more, less), number(1 - self.least))


@dataclass(frozen=True)
class _Bound:
    """A comparison that is true while ``ahead - step * iteration`` is above 0."""

    comparison: _Comparison
    ahead: Form
    step: int

    @property
    def trips(self) -> Form | None:
        """Give how often a loop runs that stops here: ``ceil(ahead / step) + 1``."""
        symbols = {symbol: factor for symbol, factor in self.ahead.items() if symbol != ONE}
        if any(factor % self.step for factor in symbols.values()):
            return None
        rest = -(-self.ahead.get(ONE, 0) // self.step)
        return plus({symbol: factor // self.step for symbol, factor in symbols.items()}, number(rest + 1))


def trips_of(loop: ir.Node, known: dict[ir.Value, Form], build: Builder) -> Trips:
    """Say how often a loop runs.

    Args:
        loop: a ``Loop`` out of whose body everything has been moved that is the same in every step.
        known: what the body counts; numbers that do not change are added.
        build: takes the nodes that compute it in front of the loop.

    Raises:
        NotAFoldError: it cannot be proven.
    """
    body = loop.attributes["body"].as_graph()
    given, start, *_ = loop.inputs
    inside = list(_comparisons(body.outputs[0], body.inputs[1]))
    outside = [] if start is None else list(_comparisons(start, None))
    for comparison in inside:
        _name_unknown((comparison.less, comparison.more), body, known)
    bounds = [_bound(comparison, known) for comparison in inside]
    once = _once(bounds, [comparison.form(known) for comparison in outside])
    if not bounds:
        if given is None:
            raise NotAFoldError("it has no trip count: it runs until its condition is false")
        return Trips(given, form(given, {}))
    lengths = [bound.trips for bound in bounds]
    counted = _extreme(build, "Min", [_counted(bound, loop, body, build) for bound in bounds])
    counted = _extreme(build, "Max", [build.constant(int(once)), counted])
    if given is None:
        return Trips(counted, _least(lengths), once)
    whole = _scalar(build, given)
    return Trips(_extreme(build, "Min", [whole, counted]), _least([*lengths, form(given, {})]), once)


def symbol(value: ir.Value) -> Form | None:
    """Give a whole number that is not known a symbol of its own."""
    if value.name is None or value.dtype not in WHOLE or value.shape is None:
        return None
    single = len(value.shape) == 0 or (len(value.shape) == 1 and value.shape[0] == 1)
    return {f"number {value.name!r}": 1} if single else None


# --- the condition ----------------------------------------------------------------------------------------


def _comparisons(value: ir.Value, condition: ir.Value | None) -> Iterator[_Comparison]:
    """Take a truth value apart into comparisons that all have to hold; ``condition`` is one that holds.

    Raises:
        NotAFoldError: it is something else.
    """
    value = _before_casts(value)
    if value is condition or _is_true(value):
        return
    node = value.producer()
    operands = [] if node is None or node.domain else [each for each in node.inputs if each is not None]
    if node is None or not operands:
        raise NotAFoldError(STOPS)
    if node.op_type == "And":
        for operand in operands:
            yield from _comparisons(operand, condition)
    elif node.op_type in COMPARISONS:
        yield _compared(node.op_type, operands)
    elif node.op_type == "Not":
        yield _opposite(operands[0])
    else:
        raise NotAFoldError(STOPS)


def _compared(operator: str, operands: Sequence[ir.Value]) -> _Comparison:
    rising, least = COMPARISONS[operator]
    less, more = operands if rising else operands[::-1]
    return _Comparison(less, more, least)


def _opposite(value: ir.Value) -> _Comparison:
    """Give the comparison that holds where another does not."""
    value = _before_casts(value)
    node = value.producer()
    if node is None or node.domain or node.op_type not in COMPARISONS:
        raise NotAFoldError(STOPS)
    found = _compared(node.op_type, [each for each in node.inputs if each is not None])
    return _Comparison(found.more, found.less, 1 - found.least)


def _before_casts(value: ir.Value) -> ir.Value:
    """Look through ``Identity`` and ``Cast``: a truth value stays true."""
    value = original(value)
    while (node := value.producer()) is not None and node.op_type == "Cast" and node.inputs[0] is not None:
        value = original(node.inputs[0])
    return value


def _is_true(value: ir.Value) -> bool:
    array = constant_value(value)
    return array is not None and bool(array.all())


# --- what it says -----------------------------------------------------------------------------------------


def _name_unknown(values: Sequence[ir.Value], body: ir.Graph, known: dict[ir.Value, Form]) -> None:
    """Give every number from outside of the body that is not known a symbol.

    Raises:
        NotAFoldError: a size of what changes is meant, and may change with it.
    """
    for value in values:
        node = value.producer()
        if node is not None and node.graph is body:
            if node.op_type == "Shape":
                raise NotAFoldError(STOPS)
            _name_unknown([each for each in node.inputs if each is not None], body, known)
        elif value not in known and form(value, known) is None and value not in body.inputs:
            found = symbol(value)
            known |= {value: found} if found else {}


def _bound(comparison: _Comparison, known: dict[ir.Value, Form]) -> _Bound:
    ahead = comparison.form(known)
    step = -ahead.get(ITERATION, 0)
    if step <= 0:
        raise NotAFoldError("its condition does not count towards its limit: it may never stop")
    return _Bound(comparison, {part: factor for part, factor in ahead.items() if part != ITERATION}, step)


def _once(bounds: Sequence[_Bound], begun: Sequence[Form]) -> bool:
    """Whether a loop runs once without being asked.

    ::

        begun        what is asked at the start, above 0 if true
        earlier      what its steps ask, at iteration -1
    """
    earlier = [plus(bound.ahead, number(bound.step)) for bound in bounds]
    if any(asked not in earlier and not _is_positive(asked) for asked in begun):
        raise NotAFoldError(START)
    unasked = [each for each in earlier if each not in begun and not _is_positive(each)]
    if unasked and any(not _is_positive(asked) for asked in begun):
        raise NotAFoldError(START)
    return bool(unasked)


def _is_positive(number_: Form) -> bool:
    return set(number_) == {ONE} and number_[ONE] > 0


def _least(lengths: Sequence[Form | None]) -> Form | None:
    """Give the one that is never above another one.

    What is beyond the size of any tensor stands for no limit.
    """
    for length in lengths:
        if length is not None and all(_is_below(length, other) for other in lengths):
            return length
    return None


def _is_below(length: Form, other: Form | None) -> bool:
    if other is None:
        return False
    further = minus(other, length)
    return (set(further) <= {ONE} and further.get(ONE, 0) >= 0) or (set(other) == {ONE} and other[ONE] >= FAR)


# --- the same as a value ----------------------------------------------------------------------------------


def _counted(bound: _Bound, loop: ir.Node, body: ir.Graph, build: Builder) -> ir.Value:
    """Compute ``ceil(ahead / step) + 1``, or no more than 0 if that is less.

    ``Div`` cuts off towards zero: ``(ahead + 2 step - 1) / step`` is right wherever it is above 0.
    """
    zero = build.constant(0)
    begin = dict(zip(body.inputs, (zero, None, *loop.inputs[2:]), strict=True))
    less, more = (
        _scalar(build, _at_start(value, begin, body, build))
        for value in (bound.comparison.less, bound.comparison.more)
    )
    ahead = build.emit("Sub", [more, less], like=zero)
    rest = build.constant(2 * bound.step - bound.comparison.least)
    return build.emit(
        "Div", [build.emit("Add", [ahead, rest], like=zero), build.constant(bound.step)], like=zero
    )


def _at_start(
    value: ir.Value, begin: dict[ir.Value, ir.Value | None], body: ir.Graph, build: Builder
) -> ir.Value:
    """Compute in front of a loop what a value of its body is in its first step."""
    if (first := begin.get(value)) is not None:
        return first
    node = value.producer()
    if node is None or node.graph is not body:
        return value
    inputs = [each and _at_start(each, begin, body, build) for each in node.inputs]
    return build.copy(node, inputs)[value.index() or 0]


def _scalar(build: Builder, value: ir.Value) -> ir.Value:
    """Give a number as int64 without an axis."""
    whole = build.emit("Cast", [value], {"to": ir.DataType.INT64})
    flat = build.constant(np.zeros(0, np.int64))
    return build.emit("Reshape", [whole, flat], shape=[], type=ir.TensorType(ir.DataType.INT64))


def _extreme(build: Builder, operator: str, values: Sequence[ir.Value]) -> ir.Value:
    return values[0] if len(values) == 1 else build.emit(operator, values, like=values[0])
