"""ONNX files of smaller weights give the same bits, and are smaller."""

import numpy as np
import onnx
import pytest

from rnn_export.backends.onnx_weights import with_small_weights
from rnn_export.program.session import run_here
from rnn_export.program.small_weights import BF16, INT8, rounded
from rnn_export.signature.tensors import Array

INPUTS, UNITS = 12, 40
MODEL = """
< ir_version: 8, opset_import: [ "" : 18 ] >
net (float[T, B, 12] xs, float[1, B, 40] h) => (float[T, B, 40] ys, float[B, 40] last) {
    all, end = GRU <hidden_size = 40> (xs, W, R, , , h)
    axis = Constant <value_ints = [1]> ()
    each = Squeeze (all, axis)
    ys = MatMul (each, V)
    none = Constant <value_ints = [0]> ()
    first = Squeeze (h, none)
    last = Scan <num_scan_inputs = 1, body = loop (float[B, 40] s, float[B, 40] x) => (float[B, 40] t) {
        p = MatMul (s, U)
        q = Add (p, x)
        t = Tanh (q)
    }> (first, ys)
}
"""


def _model(kind: str) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(MODEL)
    shapes = {"W": (1, 120, 12), "R": (1, 120, 40), "V": (40, 40), "U": (40, 40)}
    for name, shape in shapes.items():
        values = (random.standard_normal(shape) / 8).astype(np.float32)
        small = rounded(values, [len(shape) - 1 if len(shape) == 3 else 0], kind)
        model.graph.initializer.append(onnx.numpy_helper.from_array(small, name))
    return model


def _run(model: onnx.ModelProto, *, optimized: bool = True) -> list[Array]:
    random = np.random.default_rng(1)
    feeds = {"xs": random.standard_normal((5, 3, 12)), "h": random.standard_normal((1, 3, 40))}
    feeds = {name: value.astype(np.float32) for name, value in feeds.items()}
    return run_here(model.SerializeToString(), feeds, ["ys", "last"], optimized=optimized)


@pytest.mark.parametrize(("kind", "share"), [(INT8, 3.1), (BF16, 1.8)])
def test_it_is_smaller_and_gives_the_same_bits(kind: str, share: float) -> None:
    model = _model(kind)
    small, kept = with_small_weights(model, kind)
    assert kept == []
    assert len(model.SerializeToString()) > share * len(small.SerializeToString())
    for optimized in (True, False):
        for want, got in zip(_run(model, optimized=optimized), _run(small, optimized=optimized), strict=True):
            np.testing.assert_array_equal(got, want)
    assert {entry.key: entry.value for entry in small.metadata_props} == {"rnn_export.weights": kind}


def test_biases_of_two_directions_are_no_matrix() -> None:
    model = onnx.parser.parse_model(
        """
        < ir_version: 8, opset_import: [ "" : 18 ] >
        net (float[T, B, 12] xs, float[2, 80, 12] W, float[2, 80, 20] R) => (float[T, 2, B, 20] ys)
        < float[2, 160] bias > { ys = LSTM <hidden_size = 20, direction = "bidirectional"> (xs, W, R, bias) }
        """
    )
    del model.graph.initializer[:]
    values = np.random.default_rng(0).standard_normal((2, 160)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "bias"))
    assert with_small_weights(model, INT8)[1] == []


@pytest.mark.parametrize("kind", [INT8, BF16])
def test_what_is_not_rounded_is_named_and_stays(kind: str) -> None:
    model = _model(kind)
    [values] = [each for each in model.graph.initializer if each.name == "V"]
    other = onnx.numpy_helper.to_array(values) * np.float32(0.3)
    values.CopyFrom(onnx.numpy_helper.from_array(other, "V"))
    small, kept = with_small_weights(model, kind)
    assert kept == ["V [40, 40]"]
    assert [each.name for each in small.graph.initializer if each.name == "V"]
    for want, got in zip(_run(model), _run(small), strict=True):
        np.testing.assert_array_equal(got, want)
