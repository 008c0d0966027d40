"""Random loops that count, stop and read: what is rewritten gives what it gave, and fails where it failed."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from rnn_export.capture.onnx_file import reader
from rnn_export.passes.time.no_steps import no_steps
from rnn_export.program.program import Program
from tests.support import loops

CONSTANTS = """
    two = Constant <value = int64 {2}> () five = Constant <value = int64 {5}> ()
    minus_one = Constant <value = int64 {-1}> () last_one = Sub (length, one)
    n2 = Add (n, n) nm = Sub (n, length) half = Constant <value = float {0.5}> ()
"""
CALL = "net (float[T,B,3] x, float[B,3] h, int64 n) => (float[N,B,3] y, float[B,3] last, int64 count)"
NUMBERS = ("zero", "one", "two", "five", "n", "length", "last_one", "minus_one", "n2", "nm")
OPPOSITE = {
    "Less": "GreaterOrEqual",
    "LessOrEqual": "Greater",
    "Greater": "LessOrEqual",
    "GreaterOrEqual": "Less",
}
# A place that is read, and what computes it.
PLACES = {
    "t": "",
    "i": "",
    "t_n": "",
    "end": "end = Sub (last_one, i)",
    "turned": "turned = Sub (last_one, t)",
    "twice": "twice = Mul (i, two)",
    "ahead": "ahead = Add (t, n)",
    "behind": "behind = Neg (i)",
    "square": "square = Mul (i, i)",
}
PIECE = (
    "a = Unsqueeze ({0}, axis) after = Add ({0}, one) b = Unsqueeze (after, axis) p = Slice (x, a, b, axis)"
)
READS = (
    "x_t = Gather (x, {0})",
    "x_t = Gather (x, {0})",
    "a = Unsqueeze ({0}, axis) p = Gather (x, a) x_t = ReduceSum <keepdims = 0> (p, axis)",
    f"{PIECE} x_t = Squeeze (p, axis)",
    f"{PIECE} x_t = ReduceSum <keepdims = 0> (p, axis)",
)


def comparison(draw: random.Random, less: str, more: str, name: str) -> str:
    """Compare two numbers in one of the ways there are."""
    operator, text = draw.choice(list(OPPOSITE)), ""
    if draw.random() < 0.3:
        kind = draw.choice((1, 11))  # float32, float64
        text = f"{name}_l = Cast <to = {kind}> ({less}) {name}_m = Cast <to = {kind}> ({more}) "
        less, more = f"{name}_l", f"{name}_m"
    sides = f"({less}, {more})" if operator.startswith("Less") else f"({more}, {less})"
    if draw.random() < 0.2:
        return f"{text} {name}_not = {OPPOSITE[operator]} {sides} {name} = Not ({name}_not) "
    return f"{text} {name} = {operator} {sides} "


def condition(draw: random.Random, counter: str, limit: str, down: bool) -> tuple[str, str]:
    """Give nodes that compute whether to go on, and the name of that."""
    text, name = comparison(draw, *((limit, counter) if down else (counter, limit)), "go_0"), "go_0"
    if draw.random() < 0.25:
        text += comparison(draw, "i", draw.choice(("length", "n")), "go_1") + "go_2 = And (go_0, go_1) "
        name = "go_2"
    if draw.random() < 0.2:
        return f"{text} go_3 = And (go, {name}) ", "go_3"
    return (text, name) if draw.random() < 0.85 else ("", "go")


def start(draw: random.Random, first: str, limit: str, down: bool) -> str:
    """Give what is asked at the start: the same as after a step, nothing, or something else."""
    kind = draw.random()
    if kind < 0.45:
        return comparison(draw, *((limit, first) if down else (first, limit)), "begin")
    if kind < 0.55:
        return comparison(draw, draw.choice(NUMBERS), draw.choice(NUMBERS), "begin")
    if kind < 0.65:
        return "most = ReduceMax <keepdims = 0> (x) begin = Less (half, most)"
    return "begin = Identity (yes)"


def loop(draw: random.Random) -> str:
    """Draw a loop that counts ``t``, and reads ``x`` once a step."""
    first, limit = draw.choice(NUMBERS), draw.choice((*NUMBERS, "length", "length"))
    step = draw.choice(("one", "one", "one", "two", "minus_one"))
    down = step == "minus_one"
    follows, go_on = condition(draw, draw.choice(("t_n", "t")), limit, down)
    place = draw.choice(list(PLACES))
    read = f"{PLACES[place]} {draw.choice(READS).format(place)}"
    use = draw.choice(("m = Identity (x_t)", "f = Cast <to = 1> (t) m = Mul (x_t, f)"))
    return f"""
    {CONSTANTS} {start(draw, first, limit, down)}
    count, last, y = Loop ({draw.choice(("", "", "length", "n", "last_one", "five"))}, begin, {first}, h) <
        body = step (int64 i, bool go, int64 t, float[B,3] h_s)
        => (bool go_on, int64 t_n, float[B,3] h_t, float[B,3] y_t) {{
        t_n = Add (t, {step}) {follows} go_on = Identity ({go_on}) {read} {use}
        s = Add (m, h_s) h_t = Tanh (s) y_t = Neg (h_t) }}>
    """


def outcomes(*programs: Program) -> Iterator[list[dict[str, Any] | None]]:
    """Run calls of many sizes and counts; give what each Program gives, ``None`` if it fails."""
    for time in (1, 2, 3, 5):
        for count in (-2, 0, 1, 2, 4, 6):
            feeds = programs[0].sample(time, 2) | {"n": np.array(count)}
            yield [outcome(program, feeds) for program in programs]


def outcome(program: Program, feeds: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return program.run(feeds)
    except Exception:  # of ONNX Runtime, which has several
        return None


@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(12, 600))]
)
def test_a_loop_that_is_rewritten_gives_what_it_gave(seed: int) -> None:
    """One that is left is not run: it may never end."""
    model = loops.model(loop(random.Random(seed)), CALL)
    reading = reader.read(model)
    if reading.left:
        assert any(word in reading.left[0] for word in ("condition", "no trip count"))
        return
    for before, after in outcomes(Program(ir.from_proto(model)), no_steps(reading.program)):
        assert (before is None) == (after is None)
        if before and after:
            assert before["count"] == after["count"]
            np.testing.assert_allclose(after["last"], before["last"], atol=1e-5)
            if before["y"].size:  # a Loop over no time steps gives every free size of its results as zero
                np.testing.assert_allclose(after["y"], before["y"], atol=1e-5)
