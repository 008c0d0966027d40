"""Loops read what they read, also a part of a sequence, in other strides, or outside of it."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from rnn_export.capture.onnx_file import reader
from rnn_export.passes.time.no_steps import no_steps
from rnn_export.program.program import Program
from tests.support import loops

CONSTANTS = """
    two = Constant <value = int64 {2}> ()
    six = Constant <value = int64 {6}> ()
    one_1 = Constant <value = int64[1] {1}> () zero_1 = Constant <value = int64[1] {0}> ()
    minus_1 = Constant <value = int64[1] {-1}> ()
    least_1 = Constant <value = int64[1] {-9223372036854775808}> ()
    but_one = Sub (length, one) flipped = Slice (x, minus_1, least_1, zero_1, minus_1)
"""
CALL = "net (float[T,B,3] x, float[B,3] h, int64 n) => (float[N,B,3] y, float[B,3] last)"


def reading(read: str, trips: str = "length", before: str = "", call: str = CALL) -> onnx.ModelProto:
    """Give a loop whose step ``read`` computes ``x_t``."""
    step = f"{read} s = Add (x_t, h_s) h_t = Tanh (s) y_t = Neg (h_t)"
    return loops.model(CONSTANTS + before + loops.loop(step, trips=trips), call)


def piece(start: str, after: str) -> str:
    """Read by a ``Slice``, from a number to the next."""
    return (
        f"a = Unsqueeze ({start}, axis) next = Add ({start}, one) b = Unsqueeze (next, axis) "
        f"p = Slice (x, a, b, axis) {after}"
    )


BACKWARD = "end = Sub (but_one, i)"
# What is read as a sequence; what is true of all of them is that the loop is one over no numbers.
READS = {
    "as long as another says": reading("x_t = Gather (x, i)", trips="n"),
    "a fixed number of steps": reading("x_t = Gather (x, i)", trips="six"),
    "all but the last": reading("x_t = Gather (x, i)", trips="but_one"),
    "all but the first": reading("j = Add (i, one) x_t = Gather (x, j)", trips="but_one"),
    "one after the end": reading("j = Add (i, one) x_t = Gather (x, j)"),
    "every other": reading("j = Mul (i, two) x_t = Gather (x, j)", trips="n"),
    "from a number on": reading("j = Add (i, n) x_t = Gather (x, j)", trips="two"),
    "from a number before its start": reading("j = Sub (i, n) x_t = Gather (x, j)", trips="two"),
    "from its end": reading(f"{BACKWARD} x_t = Gather (x, end)"),
    "from its end, not to its start": reading(f"{BACKWARD} x_t = Gather (x, end)", trips="n"),
    "from its end, counted from there": reading("j = Neg (i) k = Sub (j, one) x_t = Gather (x, k)"),
    "flipped": reading("x_t = Gather (flipped, i)"),
    "flipped, a part": reading("x_t = Gather (flipped, i)", trips="n"),
    "two at once": reading(
        "u = Gather (x, i) j = Add (i, one) v = Gather (x, j) x_t = Sub (v, u)", trips="but_one"
    ),
    "another axis": reading(
        "x_t = Gather <axis = 1> (x, i)",
        trips="n",
        call=CALL.replace("float[T,B,3] x", "float[B,T,3] x"),
    ),
    "a piece": reading(piece("i", "x_t = Squeeze (p, axis)")),
    "a piece, a part": reading(piece("i", "x_t = Squeeze (p, axis)"), trips="n"),
    "a piece from before its start": reading(
        f"j = Sub (i, n) {piece('j', 'x_t = Squeeze (p, axis)')}", trips="two"
    ),
    "a piece, all but the last, that stays": reading(
        piece("i", "x_t = ReduceSum <keepdims = 0> (p, axis)"), trips="but_one"
    ),
    "pieces from its end": reading(f"{BACKWARD} {piece('end', 'x_t = Squeeze (p, axis)')}"),
    "pieces from its end that stay": reading(
        f"{BACKWARD} {piece('end', 'x_t = ReduceSum <keepdims = 0> (p, axis)')}"
    ),
    "a piece of all axes, as jax writes it": reading(
        """sum = Add (i, length) below = Less (i, zero) j = Where (below, sum, i) a = Unsqueeze (j, axis)
        starts = Concat <axis = 0> (a, zero_1, zero_1) w = Shape <start = 1> (x)
        widths = Concat <axis = 0> (one_1, w) ends = Add (starts, widths)
        p = Slice (x, starts, ends) x_t = Squeeze (p, axis)""",
        trips="six",
    ),
    "cut into a list": reading(
        "x_t = SequenceAt (cut, i)",
        trips="m",
        before="cut = SplitToSequence <axis = 0, keepdims = 0> (x) m = SequenceLength (cut)",
    ),
}
# What stays in the step, with the number of the iteration as a sequence.
STAYS = {
    "pieces that may be nothing": reading(piece("i", "x_t = ReduceSum <keepdims = 0> (p, axis)"), trips="n"),
    "pieces from before its start": reading(
        f"j = Sub (i, two) {piece('j', 'x_t = ReduceSum <keepdims = 0> (p, axis)')}", trips="n"
    ),
    "a place that was a truth value": reading(
        "bool_ = Cast <to = 9> (i) j = Cast <to = 7> (bool_) x_t = Gather (x, j)", trips="n"
    ),
    "a place in eight bits": reading(
        "small = Cast <to = 2> (i) j = Cast <to = 7> (small) x_t = Gather (x, j)", trips="n"
    ),
    "places that turn": reading(
        "j = Mul (i, i) x_t = Gather (x, j)", trips="n", call=CALL.replace("float[T,", "float[40,")
    ),
    "two places": reading(
        "a = Unsqueeze (i, axis) b = Unsqueeze (zero, axis) j = Concat <axis = 0> (a, b) "
        "u = Gather (x, j) x_t = ReduceSum <keepdims = 0> (u, axis)",
        trips="n",
    ),
}


def outcome(program: Program, feeds: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return program.run(feeds)
    except Exception:  # of ONNX Runtime, which has several
        return None


def assert_same(model: onnx.ModelProto, program: Program) -> None:
    """Compare at sizes that the reading does not try; where one fails, so does the other."""
    given, answered = Program(ir.from_proto(model)), 0
    for time, count in ((1, 0), (1, 1), (2, 1), (5, 3), (6, 6), (8, 9), (9, 2)):
        feeds = given.sample(time, 2) | {"n": np.array(count)}
        before, after = outcome(given, feeds), outcome(program, feeds)
        assert (before is None) == (after is None), f"T = {time}, n = {count}"
        if before and after:
            answered += bool(before["y"].size)
            np.testing.assert_allclose(after["last"], before["last"], atol=1e-5)
            if before["y"].size:  # a Loop over no time steps gives every free size of its results as zero
                np.testing.assert_allclose(after["y"], before["y"], atol=1e-5)
    assert answered


@pytest.mark.parametrize("name", [*READS, *STAYS])
def test_a_loop_reads_where_it_read(name: str) -> None:
    model = (READS | STAYS)[name]
    read = reader.read(model)
    assert read.left == []
    program = no_steps(read.program)
    if name != "one after the end":  # which fails
        assert_same(model, program)
    numbers = [
        v
        for node in read.program.model.graph
        if node.op_type == "Scan"
        for v in node.attributes["body"].as_graph().inputs
        if v.dtype == ir.DataType.INT64
    ]
    assert bool(numbers) == (name in STAYS)
