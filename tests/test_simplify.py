"""What tracing leaves over goes: axes that are added and dropped again, casts of casts."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import parser
from torch import nn

from rnn_export.frontends import step
from rnn_export.passes import forms_of, optimize
from rnn_export.passes.fold import fold
from rnn_export.passes.simplify import simplify
from rnn_export.program import Program, run_model
from rnn_export.signature import Signature, TensorSpec
from rnn_export.subject import examine
from tests.cases import CASES

SIGNATURE = Signature(
    TensorSpec("x", "float32", ("time", 3)), (), TensorSpec("y", "float32", ("time", 3)), ""
)
HEAD = '<ir_version: 8, opset_import: ["" : 18]> main (float[T, 3] x) => (float[T, 3] y) <'
LEFT_OUT = {
    "arithmetic": (
        "float[2] n = {4, 5}",
        "u = Unsqueeze(x, one) v = Add(u, b) w = Relu(v) y = Squeeze(w, one)",
    ),
    "two axes": (
        "int64[1] last = {3}",
        "u = Unsqueeze(x, one) t = Unsqueeze(u, last) s = Neg(t) r = Squeeze(s, one) y = Squeeze(r, two)",
    ),
}
KEPT = {
    "what is broadcast along the axis": (
        "float[2, 1] n = {4, 5}",
        "u = Unsqueeze(x, one) v = Add(u, n) w = ReduceSum(v, one) y = Squeeze(w, one)",
    ),
    "what is read elsewhere": (
        "float[3] n = {4, 5, 6}",
        "u = Unsqueeze(x, one) v = Add(u, n) w = Squeeze(v, one) "
        "z = ReduceMax <keepdims = 0> (v) y = Add(w, z)",
    ),
}
AXES = ", float[3] b = {1, 2, 3}, int64[1] one = {1}, int64[1] two = {2}> "


def simplified(weights: str, text: str) -> list[str]:
    """Simplify a model, check that it computes what it did, and name its operators."""
    proto = parser.parse_model(HEAD + weights + AXES + "{" + text + "}")
    model = ir.passes.common.ShapeInferencePass()(ir.from_proto(proto)).model
    after = simplify(fold(Program(model, SIGNATURE))).proto()
    feeds = {"x": np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)}
    np.testing.assert_array_equal(run_model(after, feeds, ["y"])[0], run_model(proto, feeds, ["y"])[0])
    return [node.op_type for node in after.graph.node]


@pytest.mark.parametrize(("weights", "text"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_an_axis_that_is_added_and_dropped_is_left_out(weights: str, text: str) -> None:
    assert not {"Unsqueeze", "Squeeze"} & set(simplified(weights, text))


@pytest.mark.parametrize(("weights", "text"), KEPT.values(), ids=KEPT.keys())
def test_an_axis_that_matters_stays(weights: str, text: str) -> None:
    assert {"Unsqueeze", "Squeeze"} <= set(simplified(weights, text))


class Framed(nn.Module):
    """Linear layers over the whole sequence before and after the loop."""

    def __init__(self):
        super().__init__()
        self.before, self.cell, self.after = nn.Linear(3, 4), nn.RNNCell(4, 5), nn.Linear(5, 2)

    def forward(self, inputs, state):
        outputs = []
        for X in torch.relu(self.before(inputs)):
            state = self.cell(X, state)
            outputs.append(state)
        return torch.sigmoid(self.after(torch.stack(outputs))), state


def test_layers_over_the_sequence_have_no_axis_too_many() -> None:
    torch.manual_seed(0)
    stages = optimize(step.capture(examine(Framed().eval(), (torch.randn(6, 2, 3), torch.zeros(2, 5)))))
    found = [node.op_type for node in forms_of(stages)["operator"].model.graph]
    assert [name for name in found if "queeze" not in name] == [
        *("MatMul", "Add", "Relu", "RNN", "MatMul", "Add", "Sigmoid")
    ]
    assert found.count("Squeeze") == 2  # the operator's axis of directions, of its outputs and of its state
    assert found.count("Unsqueeze") == 1


def test_token_ids_become_vectors_in_three_operators() -> None:
    [case] = [case for case in CASES if case.name == "char_rnn"]
    found = [
        node.op_type
        for node in forms_of(optimize(step.capture(examine(*case.build()))))["operator"].model.graph
    ]
    assert found[:3] == ["Unsqueeze", "Equal", "Cast"]
    assert found.count("Cast") == 1
