"""What is computed of weights is called after them."""

import numpy as np
import onnx_ir as ir
from onnx import numpy_helper, parser

from rnn_export.passes.cleanup.constant_folding import fold_constants
from rnn_export.program.computed import name_computed
from rnn_export.program.program import Program

TEXT = """<ir_version: 8, opset_import: ["" : 18]> main (float[T, 3] x) => (float[T, 3] y)
    <int64[1] axis = {0}> {
        W = Transpose (weight)  W_again = Transpose (weight)
        a = Exp (A_log)  b = Neg (a)  mean = ReduceMean <keepdims = 0> (b, axis)
        half = Constant <value = float {0.5}> ()  c = Mul (bias_hh, half)  sum = Add (bias_ih, c)
        back = Transpose (W)
        p = MatMul (x, W)  q = MatMul (p, W_again)  r = Mul (q, mean)  s = Add (r, sum)  t = MatMul (s, back)
        n = Shape (weight)  o = Cast <to = 1> (n)  last = ReduceMax <keepdims = 0> (o)
        y = Mul (t, last)
    }"""
NAMES = {"weight^T", "weight^T_2", "from(weight)", "from(A_log)", "from(bias_ih, bias_hh)"}


def program() -> Program:
    proto = parser.parse_model(TEXT)
    for name, shape in {"weight": (3, 3), "A_log": (2, 3), "bias_ih": (3,), "bias_hh": (3,)}.items():
        array = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return Program(ir.from_proto(proto))


def test_what_is_computed_of_weights_is_called_after_them() -> None:
    named = program()
    name_computed(named.model)
    found = {str(value.name) for node in named.model.graph for value in node.outputs}
    assert found >= NAMES
    assert found >= {"a", "b", "c", "half", "n"}  # which nothing reads that is not computed itself


def test_constants_that_were_computed_keep_their_names() -> None:
    folded = fold_constants(program())
    weights = {name for name, value in folded.model.graph.initializers.items() if value.const_value.size > 1}
    assert weights == NAMES - {"weight^T_2"}  # equal ones are kept once
