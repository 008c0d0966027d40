"""The reference evaluator, where this package gives it an operator of its own."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from rnn_export.runtimes import reference
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec


def test_elements_are_gathered_along_axes_of_any_size(tmp_path: Path) -> None:
    shapes = {"x": [2, "time", 3], "place": [2, 1, 2], "y": [2, 1, 2]}
    kinds = {"x": TensorProto.FLOAT, "place": TensorProto.INT64, "y": TensorProto.FLOAT}
    x, place, y = (helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in shapes.items())
    node = helper.make_node("GatherElements", ["x", "place"], ["y"], axis=-2)
    graph = helper.make_graph([node], "g", [x, place], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "m.onnx")
    signature = Signature(
        inputs=(
            InputSpec("x", "float32", ("batch", "time", 3)),
            InputSpec("place", "int64", ("batch", 1, 2)),
        ),
        state=(),
        outputs=(OutputSpec("y", "float32", ("batch", 1, 2)),),
        tree={"tuple": []},
    )
    values = np.arange(600, dtype=np.float32).reshape(2, 100, 3)
    places = np.array([[[99, -1]], [[0, 70]]])
    [found] = reference.start(tmp_path / "m.onnx", signature)(values, places)
    assert found.tolist() == [[[297.0, 298.0]], [[300.0, 511.0]]]
