"""A model that is written for an older opset computes the same, or is refused with what it lacks."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from rnn_export.capture.onnx_file.opset import lowered, opset_of, raised
from rnn_export.errors import OnnxFileError
from rnn_export.program.program import Program

AXES = "axes = Constant <value = int64[1] {1}> ()"
# What is written, and the oldest opset that it can be written for.
WRITTEN = {
    "unsqueeze and squeeze": (f"{AXES} u = Unsqueeze (x, axes) v = Neg (u) y = Squeeze (v, axes)", 8),
    "a mean": (f"{AXES} y = ReduceMean (x, axes)", 8),
    "a sum": (f"{AXES} y = ReduceSum <keepdims = 0> (x, axes)", 8),
    "a mean of all": ("y = ReduceMean (x)", 8),
    "halves": ("a, b = Split <axis = 1, num_outputs = 2> (x) y = Sub (a, b)", 8),
    "parts": (
        "sizes = Constant <value = int64[2] {1,3}> () a, b = Split <axis = 1> (x, sizes) y = Mul (a, b)",
        8,
    ),
    "a part of a shape": ("s = Shape <start = 0, end = 1> (x) y = Cast <to = 1> (s)", 10),
    "the end of a shape": ("s = Shape <start = -1> (x) y = Cast <to = 1> (s)", 10),
    "a softmax": ("y = Softmax <axis = -1> (x)", 8),
    "a reshape": (
        "shape = Constant <value = int64[2] {4,-1}> () y = Reshape <allowzero = 0> (x, shape)",
        8,
    ),
    "a slice": (
        f"{AXES} end = Constant <value = int64[1] {{3}}> () y = Slice (x, axes, end, axes)",
        8,
    ),
    "in a loop": (
        f"""{AXES} z = ReduceMean (x, axes)
        y = Scan (z, x) <num_scan_inputs = 1, body = step (float[T,1] s, float[4] e) => (float[T,1] r)
            {{ m = ReduceMax <keepdims = 0> (e) r = Add (s, m) }}>""",
        9,
    ),
}
REFUSED = {
    "parts that differ": ("a, b, c = Split <axis = 1, num_outputs = 3> (x) y = Sub (a, b)", 17, "Split '.*'"),
    "a softmax elsewhere": ("y = Softmax <axis = 0> (x)", 12, "does not work along the last axis"),
    "axes that are computed": (
        "s = Shape (x) t = Shape (s) y = ReduceMean (x, t)",
        17,
        "takes what is no constant as its input 1",
    ),
    "no reduction at all": (
        "y = ReduceMean <noop_with_empty_axes = 1> (x)",
        17,
        "ReduceMean '.*' has noop_with_empty_axes = 1",
    ),
    "steps": (
        f"{AXES} two = Constant <value = int64[1] {{2}}> () end = Constant <value = int64[1] {{4}}> () "
        "y = Slice (x, axes, end, axes, two)",
        9,
        "has steps",
    ),
    "what is newer": ("y = Mish (x)", 17, "cannot be written for opset 17: .*Mish"),
}


def model(text: str) -> onnx.ModelProto:
    made = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> net (float[T,4] x) => (float y) {{ {text} }}'
    )
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(made)


@pytest.mark.parametrize("name", WRITTEN)
def test_an_older_opset_computes_the_same(name: str) -> None:
    text, oldest = WRITTEN[name]
    given = model(text)
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)}
    want = Program(ir.from_proto(given)).run(feeds)["y"]
    for opset in range(oldest, 18):
        made = ir.from_proto(given)
        lowered(made, opset)
        assert opset_of(ir.to_proto(made)) == opset
        np.testing.assert_array_equal(Program(made).run(feeds)["y"], want, err_msg=f"opset {opset}")


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_older_opset_does_not_have_is_refused(name: str) -> None:
    text, opset, reason = REFUSED[name]
    with pytest.raises(OnnxFileError, match=reason):
        lowered(ir.from_proto(model(text)), opset)


def test_a_newer_opset_is_not_raised() -> None:
    given = model("y = Neg (x)")
    assert raised(given, 17) is given
    assert opset_of(raised(given, 19)) == 19
