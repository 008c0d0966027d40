"""Files for NVIDIA Triton: the batch in front, the bundle's numbers, a configuration that says so."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import VerificationError
from rnn_export.scaffolding import triton
from rnn_export.scaffolding.batch_first import batch_first, moved, moved_back
from rnn_export.scaffolding.models import described
from tests.support.general_calls import GENERAL
from tests.support.paths import ROOT

NETS = ["a machine", "flattened", "a mask of the memory's length"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder, found = tmp_path_factory.mktemp("nets"), {}
    for number, name in enumerate(NETS):
        torch.manual_seed(0)
        call = GENERAL[name]
        found[name] = rnn_export.export(call.make().eval(), call.draw(7, 3, 5), folder / f"net_{number}")
    return found


def session_of(files: dict[str, bytes]) -> onnxruntime.InferenceSession:
    [model] = [content for path, content in files.items() if path.endswith("model.onnx")]
    return onnxruntime.InferenceSession(model)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.daily
def test_the_file_gives_what_the_bundle_gives_with_the_batch_in_front(
    name: str, bundles: dict[str, Bundle]
) -> None:
    bundle = bundles[name]
    signature, session = bundle.signature, session_of(triton.repository(bundle, described(bundle)))
    for given in session.get_inputs():
        assert given.shape[0] == "batch"
        assert len(given.shape) > 1
    case = next(case for case in bundle.cases if case.batch > 1 and case.time > 1)
    pairs = zip(signature.arguments, case.arguments, strict=True)
    results = session.run(signature.output_names, {spec.name: moved(array, spec) for spec, array in pairs})
    runner = rnn_export.load(bundle.folder)
    inputs = {spec.name: array for spec, array in zip(signature.inputs, case.inputs, strict=True)}
    outputs, state = runner(inputs, case.state)
    several = outputs if isinstance(outputs, dict) else {signature.outputs[0].name: outputs}
    expected = [*several.values(), *state]
    for spec, got, want in zip(signature.results, results, expected, strict=True):
        assert got.shape[0] == case.batch
        own = moved_back(got, spec)
        assert np.array_equal(own.reshape(want.shape), want), spec.name


def test_the_configuration_has_names_types_dims_and_first_states(bundles: dict[str, Bundle]) -> None:
    bundle = bundles["a machine"]
    files = triton.repository(bundle, described(bundle))
    config = files["net_0/config.pbtxt"].decode()
    said = re.findall(r'name: "(\w+)"\s+data_type: (\w+)\s+dims: \[ ([-\d, ]+) \]', config)
    assert ("x", "TYPE_FP32", "-1, 4") in said
    assert ("event", "TYPE_INT64", "-1") in said
    assert ("alarm", "TYPE_BOOL", "-1") in said
    assert ("site", "TYPE_FP32", "2") in said
    assert ("state_1", "TYPE_INT64", "1") in said  # of the batch alone
    assert config.count("data_file") == 3
    for leaf in bundle.signature.state:
        first = np.frombuffer(files[f"net_0/initial_state/{leaf.name}"], leaf.dtype)
        assert np.array_equal(first, leaf.initial_value(1).ravel())


def test_a_state_of_zeros_needs_no_file() -> None:
    bundle = Bundle.open(ROOT / "artifacts" / "rnn_scratch")
    files = triton.repository(bundle, described(bundle))
    assert sorted(files) == ["rnn_scratch/1/model.onnx", "rnn_scratch/config.pbtxt"]
    assert b"zero_data: true" in files["rnn_scratch/config.pbtxt"]


def test_a_file_that_gives_other_numbers_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: bytes, signature: Any) -> bytes:
        changed = onnx.load_from_string(batch_first(model, signature))
        largest = max(changed.graph.initializer, key=lambda tensor: numpy_helper.to_array(tensor).size)
        array = numpy_helper.to_array(largest) * np.float32(1.001)
        largest.CopyFrom(numpy_helper.from_array(array, largest.name))
        return changed.SerializeToString()

    monkeypatch.setattr(triton, "batch_first", wrong)
    with pytest.raises(VerificationError, match=r"model.onnx with the batch in front, .*: expected"):
        rnn_export.scaffold(ROOT / "artifacts" / "rnn_scratch", "triton", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_rows_that_depend_on_each_other_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton may put any two sequences into one batch."""
    bundle = Bundle.open(ROOT / "artifacts" / "rnn_scratch")
    right = triton._alone
    monkeypatch.setattr(triton, "_alone", lambda *call: [result + 1 for result in right(*call)])
    with pytest.raises(VerificationError, match="each row alone: outputs at"):
        triton.repository(bundle, described(bundle))
