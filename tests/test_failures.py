"""Nothing but our own errors gets out of the public calls, and it names the place."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

import rnn_export
from rnn_export.errors import BundleError, InputError, ModelError, OnnxFileError, PassError
from rnn_export.failures import typed
from rnn_export.models import RNNScratch
from rnn_export.passes import pipeline
from rnn_export.program.program import Program
from rnn_export.runtimes.table import Runner
from tests.support.cases import ModelCase, the
from tests.support.exports import Exported

EXAMPLE = torch.randn(4, 2, 2), (torch.zeros(2, 3),)


def test_a_library_that_fails_is_named_with_the_line_that_asked_for_it() -> None:
    failed = pytest.raises(
        ModelError, match=rf"the work failed: RuntimeError: .* \({__file__}:\d+\). Do less."
    )
    with failed as got, typed("the work", ModelError, "Do less."):
        torch.ones(2).reshape(3)
    assert isinstance(got.value.__cause__, RuntimeError)


def test_our_own_errors_and_the_users_stop_pass() -> None:
    for error in (InputError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as got, typed("the work", ModelError, "Do less."):
            raise error
        assert got.value is error


def test_what_fails_inside_of_an_export_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr("rnn_export.exporter.capture", fail)
    with pytest.raises(
        ModelError, match=r"the export of RNNScratch failed: TypeError: a bug \(.*:\d+\). Nothing was"
    ):
        rnn_export.export(RNNScratch(2, 3, 2).eval(), EXAMPLE, tmp_path / "net")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("rnn_export.optimizer._loaded", fail)
    with pytest.raises(OnnxFileError, match="the optimization failed: TypeError: a bug"):
        rnn_export.optimize(onnx.ModelProto())


def test_a_pass_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    def fail(_: Program) -> bool:
        raise TypeError("a bug")

    monkeypatch.setattr(pipeline, "PASSES", ((pipeline.Pass("halve", fail), ""),))
    with pytest.raises(PassError, match="pass halve failed: TypeError: a bug"):
        pipeline.optimize(program)


@pytest.fixture
def program() -> Program:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])],
    )
    return Program(ir.from_proto(onnx.helper.make_model(graph)))


def failing(*_: np.ndarray) -> list[np.ndarray]:
    raise RuntimeError("no such index\nand more")


def test_a_file_that_fails_when_it_is_called_is_named(rnn: ModelCase, exported: Exported) -> None:
    right = rnn_export.load(exported(rnn).folder)
    runner = Runner(failing, right.signature, "model.onnx in onnxruntime", right.__reduce__())
    with pytest.raises(
        BundleError, match=r"model.onnx in onnxruntime failed: RuntimeError: no such index .*\[4, 2, 4\]"
    ):
        runner(np.ones((4, 2, 4), np.float32))


@pytest.mark.parametrize(
    ("inputs", "state", "got"),
    [
        ("inputs.npy", None, "str"),
        (None, None, "NoneType"),
        (np.ones((4, 2, 4), np.float32), np.ones((2, 6), np.float32), "ndarray"),
        (np.ones((4, 2, 4), np.float32), ("state.npy",), "str"),
    ],
)
def test_what_is_no_array_is_named(
    inputs: object, state: object, got: str, rnn: ModelCase, exported: Exported
) -> None:
    with pytest.raises(InputError, match=rf"expected (float32|a tuple of arrays).*, got {got}. Pass"):
        rnn_export.load(exported(rnn).folder)(inputs, state)


def test_a_runner_can_be_pickled(rnn: ModelCase, exported: Exported) -> None:
    runner = rnn_export.load(exported(rnn).folder, "torchscript")
    twin = pickle.loads(pickle.dumps(runner))
    inputs = np.ones((4, 2, 4), np.float32)
    assert np.array_equal(twin(inputs)[0], runner(inputs)[0])


def test_a_pickled_runner_is_of_the_bundle_that_it_was_of(
    rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "bundle")
    sent = pickle.dumps(rnn_export.load(folder))
    shutil.rmtree(folder)
    shutil.copytree(exported(the("lstm")).folder, folder)
    differs = r"of which a runner was pickled, digest: expected \w{64}, got \w{64}"
    with pytest.raises(BundleError, match=differs):
        pickle.loads(sent)
