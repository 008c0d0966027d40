"""One time step of a Program holds plain operators alone, and gives what the loop gives at each time step."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from rnn_export.errors import PassError
from rnn_export.passes.one_step import one_step
from rnn_export.program.program import Program
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec, StateSpec

BODY = "step (float[batch,3] h_s, float[batch,3] x_t) => (float[batch,3] h_t, float[batch,3] y_t)"
INNER = f"{BODY} {{ h_t = Add (h_s, x_t) y_t = Neg (h_t) }}"
# Rows first, a context that is read once, and outputs of the last time step beside those of all.
ROWS_FIRST = f"""
    net (float[batch,time,3] x, float[batch,3] c, float[batch,3] h)
        => (float[batch,time,3] y, float[batch,3] z, float[batch,3] h_out) {{
        front = Transpose <perm = [1, 0, 2]> (x) end = Constant <value = int64 {{-1}}> ()
        k = Tanh (c)
        h_out, ys = Scan <num_scan_inputs = 1, body = {INNER}> (h, front)
        last = Gather <axis = 0> (ys, end) z = Mul (last, k)
        y = Transpose <perm = [1, 0, 2]> (ys) }}
"""
REST = "trips = Constant <value = int64 {2}> () yes = Constant <value = bool {1}> ()"
LOOP = f"""
    net (float[time,batch,3] x, float[batch,3] h) => (float[time,batch,3] y, float[batch,3] h_out) {{ {REST}
        h_out, y = Scan <num_scan_inputs = 1, body = {BODY} {{
            h_t = Loop (trips, yes, x_t) <body = again (int64 i, bool go, float[batch,3] a)
                => (bool more, float[batch,3] b) {{ more = Identity (go) b = Add (a, h_s) }}>
            y_t = Neg (h_t) }}> (h, x) }}
"""


def program(text: str, *inputs: InputSpec, outputs: tuple[OutputSpec, ...]) -> Program:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    model = onnx.shape_inference.infer_shapes(model)
    return Program(
        ir.from_proto(model), Signature(inputs, (StateSpec("h", "float32", ("batch", 3)),), outputs, "")
    )


def test_a_step_has_plain_operators_and_no_time_axis() -> None:
    sequence, last = ("batch", "time", 3), ("batch", 3)
    whole = program(
        ROWS_FIRST,
        InputSpec("x", "float32", sequence),
        InputSpec("c", "float32", last),
        outputs=(OutputSpec("y", "float32", sequence), OutputSpec("z", "float32", last)),
    )
    step = one_step(whole)
    assert sorted(node.op_type for node in step.model.graph) == ["Add", "Mul", "Neg", "Tanh"]
    assert [value.name for value in step.model.graph.inputs] == ["x", "c", "h"]
    assert step.signature is not None
    assert [spec.shape for spec in step.signature.arguments] == [last] * 3
    feeds = whole.sample(4, 2)
    expected, h = whole.run(feeds), feeds["h"]
    for t in range(4):
        results = step.run({"x": feeds["x"][:, t], "c": feeds["c"], "h": h})
        np.testing.assert_array_equal(results["y"], expected["y"][:, t])
        h = results["h_out"]
    np.testing.assert_array_equal(results["z"], expected["z"])
    np.testing.assert_array_equal(h, expected["h_out"])


def test_a_step_that_holds_a_loop_is_refused() -> None:
    whole = program(
        LOOP,
        InputSpec("x", "float32", ("time", "batch", 3)),
        outputs=(OutputSpec("y", "float32", ("time", "batch", 3)),),
    )
    with pytest.raises(PassError, match=r"one time step of the model holds Loop, which is no plain operator"):
        one_step(whole)
