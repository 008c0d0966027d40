"""Constants are computed, whatever their size and wherever they stand."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from rnn_export.passes.cleanup.constant_folding import fold_constants
from rnn_export.program.program import Program, run_model
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec

SIGNATURE = Signature(
    (InputSpec("x", "float32", ("time", 3)),), (), (OutputSpec("y", "float32", ("time", 3)),), ""
)
HEAD = '<ir_version: 8, opset_import: ["" : 18]> main (float[T, {inputs}] x) => (float[T, {outputs}] y) '


def model(text: str, inputs: int, outputs: int, **weights: np.ndarray) -> onnx.ModelProto:
    proto = parser.parse_model(HEAD.format(inputs=inputs, outputs=outputs) + text)
    for name, array in weights.items():
        proto.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    return proto


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


LARGE = model("{ t = Transpose(W) y = MatMul(x, t) }", 100, 300, W=numbers(300, 100))
UNEVEN = model(
    "{ a, b = Split <axis = 1, num_outputs = 2> (W) t = Transpose (b) m = Transpose (t) y = MatMul(x, m) }",
    3,
    2,
    W=numbers(3, 5),
)
SIZED = model(
    "{ n = Constant <value_ints = [1, 4]> () a, b = Split <axis = -1> (W, n) y = MatMul(x, b) }",
    3,
    4,
    W=numbers(3, 5),
)
TWICE = model(
    "{ a = MatMul(x, V) b = MatMul(a, W) y = MatMul(b, W) }", 3, 3, V=numbers(3, 3), W=numbers(3, 3)
)


@pytest.mark.parametrize(
    ("proto", "initializers"),
    [(LARGE, 1), (UNEVEN, 1), (SIZED, 1), (TWICE, 1)],
    ids=["large", "uneven", "sized", "twice"],
)
def test_only_products_are_left(proto: onnx.ModelProto, initializers: int) -> None:
    after = fold_constants(Program(ir.from_proto(proto), SIGNATURE)).proto()
    assert {node.op_type for node in after.graph.node} == {"MatMul"}
    assert len(after.graph.initializer) == initializers
    feeds = {"x": numbers(4, proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value).astype(np.float32)}
    [got], [want] = run_model(after, feeds, ["y"]), run_model(proto, feeds, ["y"])
    np.testing.assert_array_equal(got, want)


def test_what_depends_on_the_inputs_stays() -> None:
    proto = model("{ a, b = Split <axis = 1, num_outputs = 2> (x) y = Add(b, W) }", 4, 2, W=numbers(2))
    after = fold_constants(Program(ir.from_proto(proto), SIGNATURE)).proto()
    assert [node.op_type for node in after.graph.node] == ["Split", "Add"]
