"""Loops that stop by a condition: one that counts runs as often as a Scan; any other is left."""

from itertools import product

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import rnn_export
from rnn_export.capture.onnx_file import reader
from rnn_export.passes.time.no_steps import no_steps
from rnn_export.program.program import Program
from rnn_export.runtimes import model_runs
from tests.support import loops

COUNTED = "net (float[T,B,3] x, float[B,3] h, int64 n) => (int64 count, float[B,3] last)"
CONSTANTS = """
    two = Constant <value = int64 {2}> () three = Constant <value = int64 {3}> ()
    minus_one = Constant <value = int64 {-1}> () minus_two = Constant <value = int64 {-2}> ()
    many = Constant <value = int64 {2147483647}> ()
"""
OPPOSITE = {
    "Less": "GreaterOrEqual",
    "GreaterOrEqual": "Less",
    "Greater": "LessOrEqual",
    "LessOrEqual": "Greater",
}


def counting(
    follows: str,
    begins: str = "",
    *,
    first: str = "zero",
    step: str = "one",
    trips: str = "",
    before: str = "",
    call: str = COUNTED,
) -> onnx.ModelProto:
    """Give a loop that counts from ``first``; ``follows`` computes ``go_on`` of the next number, ``t_n``."""
    return loops.model(
        f"""
        {CONSTANTS} {before} {begins or "begin = Identity (yes)"}
        count, last = Loop ({trips}, begin, {first}, h) <body = step (
            int64 i, bool go, int64 t, float[B,3] h_s) => (bool go_on, int64 t_n, float[B,3] h_t) {{
            t_n = Add (t, {step}) {follows} f = Cast <to = 1> (t) s = Add (h_s, f) h_t = Tanh (s) }}>
        """,
        call,
    )


def assert_same_counts(model: onnx.ModelProto, times: tuple[int, ...] = (1,)) -> None:
    """Compare a loop with what is made of it, for limits from far below its start to far above."""
    reading = reader.read(model)
    assert reading.left == []
    given, made = Program(ir.from_proto(model)), no_steps(reading.program)
    for time, limit in product(times, range(-4, 8)):
        feeds = given.sample(time, 2) | {"n": np.array(limit)}
        before, after = given.run(feeds), made.run(feeds)
        assert before["count"] == after["count"], f"T = {time}, n = {limit}"
        np.testing.assert_allclose(after["last"], before["last"], atol=1e-6)


@pytest.mark.several(5)
@pytest.mark.parametrize("operator", OPPOSITE)
@pytest.mark.parametrize(
    ("first", "step"), [("zero", "one"), ("minus_two", "three"), ("two", "two"), ("x_0", "two")]
)
def test_what_counts_up_to_a_limit_runs_as_often(operator: str, first: str, step: str) -> None:
    """``n`` is the limit, on either side of the comparison, or of its opposite."""
    before = "size = Shape <start = 0, end = 1> (x) x_0 = Squeeze (size)"
    rising = operator.startswith("Less")
    sides = ("{0}, n" if rising else "n, {0}").format
    assert_same_counts(
        counting(
            f"go_on = {operator} ({sides('t_n')})",
            f"begin = {operator} ({sides(first)})",
            first=first,
            step=step,
            before=before,
        )
    )
    assert_same_counts(
        counting(
            f"stop = {OPPOSITE[operator]} ({sides('t_n')}) go_on = Not (stop)",
            f"begin = {operator} ({sides(first)})",
            first=first,
            step=step,
            before=before,
        )
    )


@pytest.mark.parametrize("operator", ["Greater", "GreaterOrEqual"])
@pytest.mark.parametrize("step", ["minus_one", "minus_two"])
def test_what_counts_down_to_a_limit_runs_as_often(operator: str, step: str) -> None:
    up_there = "begin = {} (n, zero)".format
    model = counting(
        f"go_on = {operator} (t_n, zero)", up_there(operator), first="n", step=step, before="unused = Neg (n)"
    )
    assert_same_counts(model)


OTHERS = {
    "nothing is asked at the start": counting("go_on = Less (t_n, n)"),
    "the limit is a number": counting(
        "go_on = Less (t_n, three)", "begin = Less (zero, three)", before="m = Neg (n)"
    ),
    "a trip count as well": counting(
        "go_on = Less (t_n, n)", "begin = Less (zero, n)", trips="three", before="m = Neg (n)"
    ),
    "a trip count of 0, and nothing asked": counting("go_on = Less (t_n, n)", trips="zero"),
    "two limits": counting(
        "a = Less (t_n, n) b = Less (t_n, length) go_on = And (b, a)",
        "c = Less (zero, n) d = Less (zero, length) begin = And (c, d)",
    ),
    "what is carried as well": counting(
        "a = Less (t_n, n) go_on = And (go, a)", "c = Less (zero, n) begin = And (yes, c)"
    ),
    "another start": counting("go_on = Less (t_n, n)", "begin = LessOrEqual (zero, n)"),
    "another limit at the start": counting("go_on = Less (t_n, n)", "begin = Less (zero, length)"),
    "half of it at the start": counting(
        "a = Less (t_n, n) b = Less (t_n, length) go_on = And (b, a)", "begin = Less (zero, n)"
    ),
    "more at the start": counting(
        "go_on = Less (t_n, n)", "c = Less (zero, n) d = Less (zero, length) begin = And (c, d)"
    ),
    "a start that is false": counting("go_on = Less (t_n, n)", "begin = Not (yes)"),
    "a start that depends on values": counting(
        "go_on = Less (t_n, n)",
        "w = ReduceMax <keepdims = 0> (x) begin = Less (nothing, w)",
        before="nothing = Constant <value = float {0.5}> ()",
    ),
    "a trip count, and a start that depends on values": counting(
        "go_on = Identity (go)",
        "w = ReduceMax <keepdims = 0> (x) begin = Less (nothing, w)",
        trips="n",
        before="nothing = Constant <value = float {0.5}> ()",
    ),
    "int32": counting(
        "small = Cast <to = 6> (t_n) go_on = Less (small, m)",
        "begin = Less (nil, m)",
        before="m = Cast <to = 6> (n) nil = Cast <to = 6> (zero)",
    ),
    "a limit that comes closer": loops.model(
        f"""
        {CONSTANTS} begin = Less (zero, n)
        count, end, last = Loop (, begin, zero, n, h) <body = step (
            int64 i, bool go, int64 t, int64 m, float[B,3] h_s
        ) => (bool go_on, int64 t_n, int64 m_n, float[B,3] h_t) {{
            t_n = Add (t, one) m_n = Sub (m, two) h_t = Tanh (h_s) go_on = Less (t_n, m_n) }}>
        """,
        COUNTED,
    ),
    "the number before, less by one": counting(
        "go_on = Less (t, m)", "begin = Less (minus_one, m)", before="m = Sub (n, one)"
    ),
}


@pytest.mark.several(5)
@pytest.mark.parametrize("name", OTHERS)
def test_other_ways_to_stop_are_counted(name: str) -> None:
    assert_same_counts(OTHERS[name], times=(1, 2, 5))


def reading(
    follows: str,
    begins: str = "begin = Less (zero, length)",
    *,
    first: str = "zero",
    step: str = "one",
    trips: str = "",
    read: str = "x_t = Gather (x, t)",
) -> onnx.ModelProto:
    """Give a loop that reads ``x`` at what it counts."""
    return loops.model(
        f"""
        {CONSTANTS} last_one = Sub (length, one) {begins}
        end, last, y = Loop ({trips}, begin, {first}, h) <body = step (
            int64 i, bool go, int64 t, float[B,3] h_s
        ) => (bool go_on, int64 t_n, float[B,3] h_t, float[B,3] y_t) {{
            t_n = Add (t, {step}) {follows} {read} s = Add (x_t, h_s) h_t = Tanh (s) y_t = Neg (h_t) }}>
        """
    )


PIECE = "a = Unsqueeze (t, axis) e = Add (t, one) b = Unsqueeze (e, axis) p = Slice (x, a, b, axis)"
READ = {
    "no trip count": reading("go_on = Less (t_n, length)"),
    "the last one": reading("go_on = LessOrEqual (t_n, last_one)", "begin = LessOrEqual (zero, last_one)"),
    "a trip count that is as long": reading("go_on = Less (t_n, length)", trips="length"),
    "a trip count without end": reading("go_on = Less (t_n, length)", trips="many"),
    "what tf2onnx writes of the most iterations": reading(
        "a = Less (i, length) b = Less (t_n, length) go_on = And (a, b)",
    ),
    "cast to floats": reading(
        "a = Cast <to = 1> (t_n) b = Cast <to = 1> (length) go_on = Less (a, b)",
        "a_0 = Cast <to = 1> (zero) b_0 = Cast <to = 1> (length) begin = Less (a_0, b_0)",
    ),
    "the most iterations as well": reading(
        "n = Add (i, one) a = Less (n, length) b = Less (t_n, length) go_on = And (a, b)",
        "c = Less (zero, length) d = Less (zero, length) begin = And (c, d)",
    ),
    "nothing asked at the start": reading("go_on = Less (t_n, length)", "begin = Identity (yes)"),
    "from the end": reading(
        "go_on = GreaterOrEqual (t_n, zero)",
        "begin = GreaterOrEqual (last_one, zero)",
        first="last_one",
        step="minus_one",
    ),
    "a piece": reading("go_on = Less (t_n, length)", read=f"{PIECE} x_t = Squeeze (p, axis)"),
}


@pytest.mark.several(4)
@pytest.mark.parametrize("name", READ)
def test_a_sequence_is_read_as_far_as_the_condition_says(name: str) -> None:
    model = READ[name]
    result = rnn_export.optimize(model)
    assert [loop.left for loop in result.loops] == [""]
    assert "Loop" not in result.after
    given, made = Program(ir.from_proto(model)), Program(ir.from_proto(result.model))
    for time in (1, 2, 3, 8) if "nothing asked" in name else (0, 1, 2, 3, 8):
        feeds = given.sample(time, 2)
        before, after = given.run(feeds), made.run(feeds)
        np.testing.assert_allclose(after["last"], before["last"], atol=1e-5)
        if time:
            np.testing.assert_allclose(after["y"], before["y"], atol=1e-5)


STOPS = "nor a comparison of what it counts: it may stop early"
LEFT = {
    "by what it computes": (
        counting(
            "w = ReduceMax <keepdims = 0> (h_s) m = Cast <to = 7> (w) go_on = Less (t_n, m)",
            "begin = Less (zero, n)",
        ),
        STOPS,
    ),
    "by what it computes as well": (
        counting(
            "w = ReduceMax <keepdims = 0> (h_s) v = Less (w, w) a = Less (t_n, n) go_on = And (a, v)",
            "begin = Less (zero, n)",
        ),
        STOPS,
    ),
    "not equal": (counting("a = Equal (t_n, n) go_on = Not (a)", "begin = Less (zero, n)"), STOPS),
    "one or the other": (
        counting("a = Less (t_n, n) b = Less (t_n, length) go_on = Or (a, b)", "begin = Less (zero, n)"),
        STOPS,
    ),
    "a fraction": (
        counting(
            "w = Cast <to = 1> (t_n) go_on = Less (w, m)",
            "begin = Less (o, m)",
            before="c = Cast <to = 1> (n) o = Cast <to = 1> (zero) d = Cast <to = 1> (two) m = Div (c, d)",
        ),
        STOPS,
    ),
    "cast to what does not hold all numbers": (
        counting(
            "w = Cast <to = 10> (t_n) go_on = Less (w, m)",
            "o = Cast <to = 10> (zero) begin = Less (o, m)",
            before="m = Cast <to = 10> (n)",
        ),
        STOPS,
    ),
    "away from its limit": (
        counting("go_on = Greater (t_n, n)", "begin = Greater (zero, n)"),
        "it may never stop",
    ),
    "a limit that goes along": (
        counting("m = Add (t, two) go_on = Less (t_n, m)", "begin = Less (zero, two)"),
        "it may never stop",
    ),
    "a limit that is computed in the step": (
        loops.model(
            f"""
            {CONSTANTS} begin = Less (zero, n)
            count, end, last = Loop (, begin, zero, n, h) <body = step (
                int64 i, bool go, int64 t, int64 m, float[B,3] h_s
            ) => (bool go_on, int64 t_n, int64 m_n, float[B,3] h_t) {{
                t_n = Add (t, one) h_t = Tanh (h_s) w = ReduceMax <keepdims = 0> (h_t)
                v = Cast <to = 7> (w) m_n = Sub (m, v) go_on = Less (t_n, m_n) }}>
            """,
            COUNTED,
        ),
        STOPS,
    ),
    "a step that is not known": (
        counting("go_on = Less (t_n, length)", "begin = Less (zero, length)", step="n"),
        STOPS,
    ),
    "the size of a state that grows": (
        loops.model(
            """
            begin = Less (zero, length)
            y, last = Loop (, begin, x, h) <body = step (int64 i, bool go, float[M,B,3] x_s, float[B,3] h_s)
                => (bool go_on, float[N,B,3] x_n, float[B,3] h_t) {
                x_n = Concat <axis = 0> (x_s, x) s = Shape (x_s) m = Gather (s, zero) h_t = Tanh (h_s)
                j = Add (i, i) k = Add (j, j) go_on = Less (k, m) }>
            """,
            loops.CALL.replace("float[T,B,3] y", "float[N,B,3] y"),
        ),
        STOPS,
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_condition_that_is_not_proven_is_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_runs, "LIMIT", 1.0)  # some never stop
    model, reason = LEFT[name]
    [left] = reader.read(model).left
    assert reason in left
    result = rnn_export.optimize(model)
    assert result.model is model
    assert reason in result.loops[0].left
