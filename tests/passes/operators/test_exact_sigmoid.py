"""A sigmoid is a formula that keeps the digits of small numbers."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser

from rnn_export.passes.operators.exact_sigmoid import exact_sigmoid
from rnn_export.program.program import Program

IN_A_LOOP = """<ir_version: 8, opset_import: ["" : 18]>
    main (float[B] h, float[T, B] x) => (float[B] h_out, float[T, B] y) {
        h_out, y = Scan <num_scan_inputs = 1,
            body = step (float[B] a, float[B] x_t) => (float[B] b, float[B] y_t) {
                s = Add(a, x_t)
                b = Sigmoid(s)
                y_t = Identity(b)
            }> (h, x)
    }"""


def program(text: str) -> Program:
    return Program(ir.from_proto(parser.parse_model(text)))


@pytest.mark.parametrize("dtype", ["float", "double"])
def test_what_is_far_below_zero_keeps_its_digits(dtype: str) -> None:
    given, head = f"main ({dtype}[N] x) => ({dtype}[N] y)", '<ir_version: 8, opset_import: ["" : 18]>'
    after = exact_sigmoid(program(f"{head} {given} {{ y = Sigmoid(x) }}"))
    x = np.linspace(-80, 80, 1001).astype({"float": np.float32, "double": np.float64}[dtype])
    want = 1 / (1 + np.exp(-x.astype(np.float64)))
    np.testing.assert_allclose(after.run({"x": x})["y"], want, rtol=3e-7)


def test_one_in_a_loop_is_a_formula_too() -> None:
    before = program(IN_A_LOOP)
    after = exact_sigmoid(before)
    feeds = {"h": np.zeros(2, np.float32), "x": np.ones((5, 2), np.float32)}
    for name, want in before.run(feeds).items():
        np.testing.assert_allclose(after.run(feeds)[name], want, rtol=1e-6)
    assert "Sigmoid" not in {node.op_type for graph in after.model.graphs() for node in graph}


def test_without_a_sigmoid_nothing_changes() -> None:
    before = program(IN_A_LOOP.replace("Sigmoid", "Tanh"))
    assert exact_sigmoid(before) is before
