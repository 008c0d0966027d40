"""How often a ``Loop`` runs: as its trip count says, or until its condition is false.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`. A condition that compares what the loop counts with
what does not change in it, as others write ``while t < N``, is a trip count::

    go_on = Less (t + 1, N), t = first + iteration         go_on is true while  N - first - 1 - iteration > 0
    at the start: Less (first, N)                          the same at iteration -1

In general a comparison is true while ``ahead - step * iteration > 0``, in whole numbers. If the same is asked
at the start, the loop runs ``max(0, ceil(ahead / step) + 1)`` times. Of several comparisons joined with
``And``, and of the trip count, the least counts. A loop that asks nothing at its start runs once at least; if
it asks something else there, it runs not at all, or once at least.

Source: https://onnx.ai/onnx/operators/onnx__Loop.html.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_export.capture.onnx_file.affine_index import (
    COMPARISONS,
    COUNTING,
    FAR,
    ITERATION,
    ONE,
    WHOLE,
    Form,
    form,
    is_at_least,
    minus,
    name_unknown,
    number,
    plus,
)
from rnn_export.capture.onnx_file.first_step import at_first, scalar
from rnn_export.errors import NotAFoldError
from rnn_export.program.build import Builder
from rnn_export.program.values import constant_value, original

STOPS = "its condition is not constantly true, nor a comparison of what it counts: it may stop early"


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
        if less is None or more is None or not {self.less.dtype, self.more.dtype} <= {*COUNTING}:
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
    comparisons = list(_comparisons(body.outputs[0], body.inputs[1]))
    for value in (value for comparison in comparisons for value in (comparison.less, comparison.more)):
        if _takes_sizes(value, body):
            raise NotAFoldError(STOPS)
        name_unknown(value, body, known)
    bounds = [_bound(comparison, known) for comparison in comparisons]
    if not bounds and given is None:
        raise NotAFoldError("it has no trip count: it runs until its condition is false")
    earlier = [plus(bound.ahead, number(bound.step)) for bound in bounds]
    begun = _begun(start, known)
    asked = begun is None or _is_another(begun, earlier)
    once = begun is not None and not asked and bool(_unasked(begun, earlier))
    counts = [] if given is None else [scalar(build, given)]
    if bounds:
        counted = _extreme(build, "Min", [_counted(bound, loop, build) for bound in bounds])
        counts.append(_extreme(build, "Max", [build.constant(np.array(int(once or asked))), counted]))
    least = _extreme(build, "Min", counts)
    if asked and start is not None:
        begins = build.emit(
            "Reshape", [start, build.constant(np.zeros(0, np.int64))], shape=[], type=start.type
        )
        return Trips(build.emit("Where", [begins, least, build.constant(np.array(0))], like=least), None)
    lengths = [bound.trips for bound in bounds]
    return Trips(least, _least([*lengths, *([] if given is None else [form(given, {})])]), once)


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


def _takes_sizes(value: ir.Value | None, body: ir.Graph) -> bool:
    """Whether a value depends on the size of what changes, which may change with it."""
    node = value.producer() if value is not None else None
    if node is None or node.graph is not body:
        return False
    return node.op_type == "Shape" or any(_takes_sizes(each, body) for each in node.inputs)


def _bound(comparison: _Comparison, known: dict[ir.Value, Form]) -> _Bound:
    ahead = comparison.form(known)
    step = -ahead.get(ITERATION, 0)
    if step <= 0:
        raise NotAFoldError("its condition does not count towards its limit: it may never stop")
    return _Bound(comparison, {part: factor for part, factor in ahead.items() if part != ITERATION}, step)


def _begun(start: ir.Value | None, known: dict[ir.Value, Form]) -> list[Form] | None:
    """Give what is asked at the start, each above 0 if true; ``None`` if it is something else."""
    try:
        return [] if start is None else [each.form(known) for each in _comparisons(start, None)]
    except NotAFoldError:
        return None


def _is_another(begun: Sequence[Form], earlier: Sequence[Form]) -> bool:
    """Whether what is asked at the start is not what the steps ask, at iteration -1, nor a part of it."""
    open_ = [asked for asked in begun if not is_at_least(asked, 1)]
    return any(asked not in earlier for asked in open_) or bool(open_ and _unasked(begun, earlier))


def _unasked(begun: Sequence[Form], earlier: Sequence[Form]) -> list[Form]:
    """List what the steps ask, at iteration -1, and may be false, and is not asked at the start."""
    return [each for each in earlier if each not in begun and not is_at_least(each, 1)]


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


def _counted(bound: _Bound, loop: ir.Node, build: Builder) -> ir.Value:
    """Compute ``ceil(ahead / step) + 1``, or no more than 0 if that is less.

    ``Div`` cuts off towards zero: ``(ahead + 2 step - 1) / step`` is right wherever it is above 0.
    """
    less, more = (
        scalar(build, at_first(_whole(value), loop, build))
        for value in (bound.comparison.less, bound.comparison.more)
    )
    ahead = build.emit("Sub", [more, less], like=more)
    rest = build.constant(2 * bound.step - bound.comparison.least)
    return build.emit(
        "Div", [build.emit("Add", [ahead, rest], like=more), build.constant(bound.step)], like=more
    )


def _whole(value: ir.Value) -> ir.Value:
    """Give the number that was cast to be compared."""
    node = original(value).producer()
    cast = node is not None and node.op_type == "Cast" and not node.domain
    source = node.inputs[0] if node is not None and cast else None
    return source if source is not None and source.dtype in WHOLE else value


def _extreme(build: Builder, operator: str, values: Sequence[ir.Value]) -> ir.Value:
    return values[0] if len(values) == 1 else build.emit(operator, values, like=values[0])
