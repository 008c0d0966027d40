"""An ``RNN`` is carried by a ``GRU`` with its gates held open, where it is one that is understood."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from rnn_export.passes.operators.rnn_as_gru import rnn_as_gru
from rnn_export.program.program import IR_VERSION, OPSET, Program, run_model


def rnn_model(
    directions: int, activation: str, given: Sequence[str], **attributes: object
) -> onnx.ModelProto:
    """An ONNX model with one RNN; ``given`` names its optional inputs."""
    random = np.random.default_rng(0)
    way = ("forward", "bidirectional")[directions - 1]
    arrays = {
        "W": random.standard_normal((directions, 5, 3)) * 0.4,
        "R": random.standard_normal((directions, 5, 5)) * 0.2,
        "B": random.standard_normal((directions, 10)) * 0.4,
    }
    names = [name if name in {"W", "R", *given} else "" for name in ("W", "R", "B", "lengths", "h")]
    node = helper.make_node(
        "RNN",
        ["x", *names],
        ["y", "y_h"],
        hidden_size=5,
        direction=way,
        activations=[activation] * directions,
        **attributes,
    )
    inputs = {"x": (1, ["T", "B", 3]), "lengths": (6, ["B"]), "h": (1, [directions, "B", 5])}
    outputs = {"y": (1, ["T", directions, "B", 5]), "y_h": (1, [directions, "B", 5])}
    infos = {name: helper.make_tensor_value_info(name, *facts) for name, facts in (inputs | outputs).items()}
    graph = helper.make_graph(
        [node],
        "rnn",
        [infos[name] for name in inputs if name == "x" or name in given],
        [infos[name] for name in outputs],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def gated(model: onnx.ModelProto) -> onnx.ModelProto:
    return rnn_as_gru(Program(ir.from_proto(model))).proto()


@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("given", [(), ("B",), ("B", "h"), ("B", "lengths", "h")])
def test_an_rnn_is_a_gru_with_its_gates_held_open(
    directions: int, activation: str, given: tuple[str, ...]
) -> None:
    model = rnn_model(directions, activation, given)
    after = gated(model)
    onnx.checker.check_model(after, full_check=True)
    assert [node.op_type for node in after.graph.node] == ["GRU"]
    random = np.random.default_rng(1)
    feeds = {
        "x": random.standard_normal((7, 3, 3)).astype(np.float32),
        "lengths": np.array([7, 2, 5], np.int32),
        "h": random.standard_normal((directions, 3, 5)).astype(np.float32),
    }
    feeds = {name: value for name, value in feeds.items() if name == "x" or name in given}
    results = zip(run_model(after, feeds, ["y", "y_h"]), run_model(model, feeds, ["y", "y_h"]), strict=True)
    for got, want in results:
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(
    ("activation", "attributes"), [("Sigmoid", {}), ("Tanh", {"clip": 3.0}), ("Tanh", {"layout": 1})]
)
def test_an_rnn_that_is_not_understood_stays_one(activation: str, attributes: dict[str, object]) -> None:
    after = gated(rnn_model(1, activation, ["B"], **attributes))
    assert [node.op_type for node in after.graph.node] == ["RNN"]
