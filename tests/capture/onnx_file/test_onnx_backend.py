"""ONNX's own backend tests, through ``optimize``: what a file gives stays what the suite says."""

import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase
from onnx.reference import ReferenceEvaluator

import rnn_export

RECURRENT = {"RNN", "GRU", "LSTM", "Scan", "Loop"}
FATAL_ONLY = 4


def collect() -> dict[str, TestCase]:
    """Give the suite's tests that hold one of the operators."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tests of other operators overflow on purpose
        cases = collect_testcases(None)
    return {case.name: case for case in cases if RECURRENT & {node.op_type for node in case.model.graph.node}}


SUITE = collect()
OWN = [name for name in SUITE if not name.endswith("_expanded")]
# Another operator of the suite, written out with Scan.
ATTENTION = [name for name in SUITE if name.startswith("test_linear_attention")]
each = pytest.mark.parametrize("name", [*OWN, *ATTENTION])


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """Run a model in ONNX Runtime, or where that lacks a feature (batchwise) in ONNX's reference."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    arrays = {name: np.asarray(v) if isinstance(v, np.generic) else v for name, v in feeds.items()}
    if any(attribute.name == "layout" for node in model.graph.node for attribute in node.attribute):
        return list(ReferenceEvaluator(model).run(None, arrays))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return list(session.run(None, arrays))


def test_nothing_of_the_suite_is_missing() -> None:
    assert len(OWN) == 25
    assert len(ATTENTION) == 14


@pytest.mark.several(8)
@each
def test_what_the_suite_expects_is_unchanged(name: str) -> None:
    case = SUITE[name]
    result = rnn_export.optimize(case.model)
    onnx.checker.check_model(result.model, full_check=True)
    assert case.data_sets
    for inputs, outputs in case.data_sets:
        got = run(result.model, dict(zip([v.name for v in case.model.graph.input], inputs, strict=True)))
        assert len(got) == len(outputs)
        for one, other in zip(got, outputs, strict=True):
            parts = zip(one, other, strict=True) if isinstance(other, list) else [(one, other)]
            for part, expected in parts:
                np.testing.assert_allclose(part, expected, rtol=case.rtol, atol=case.atol)


@pytest.mark.several(8)
@pytest.mark.parametrize("name", [*ATTENTION, *(name for name in OWN if name.startswith("test_scan9"))])
def test_its_scans_are_rewritten(name: str) -> None:
    result = rnn_export.optimize(SUITE[name].model)
    assert result.form
    assert [loop.kind for loop in result.loops] == ["Scan"]
    assert set(result.loops[0].became) == {"Scan"}


WHY_LEFT = {
    "test_scan_sum": "opset 8",
    "test_loop13_seq": "it is not known what a list of it holds at the start",
    "test_loop16_seq_none": "a state of it is not a tensor",
}


def test_its_loop_over_tensors_is_rewritten() -> None:
    result = rnn_export.optimize(SUITE["test_loop11"].model)
    assert [loop.became for loop in result.loops] == [("Scan",)]


@pytest.mark.parametrize("name", WHY_LEFT)
def test_what_is_no_fold_is_left(name: str) -> None:
    result = rnn_export.optimize(SUITE[name].model)
    assert result.model == SUITE[name].model
    assert WHY_LEFT[name] in " ".join([result.left, *(loop.left for loop in result.loops)])
