"""Layers that nobody prepared for export: every recurrent layer of the package torchrecurrent."""

from pathlib import Path

import onnx_ir as ir
import pytest
import torch
import torchrecurrent

import rnn_export
from rnn_export.errors import ScriptError
from rnn_export.verify import PASSED, VerificationReport
from tests.test_passes import off_cycle

LAYERS = [name for name in torchrecurrent.cells.__all__ if not name.endswith("Cell")]
NOT_A_FOLD = {"tauGRU"}  # keeps a history outside of its state
SAME_SIZE = {"IntersectionRNN"}  # takes as many inputs as it has hidden units


CELLS = [name for name in torchrecurrent.cells.__all__ if name.endswith("Cell")]


def build(name: str) -> tuple[torch.nn.Module, tuple[torch.Tensor, object]]:
    torch.manual_seed(0)
    model = getattr(torchrecurrent, name)(8, 8 if name in SAME_SIZE else 12).eval()
    inputs = torch.randn(5, 3, 8)
    with torch.no_grad():
        _, state = model(inputs)
    return model, (inputs, state)


def test_there_are_41_layers() -> None:
    assert len(LAYERS) == 41
    assert set(LAYERS) >= NOT_A_FOLD


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in NOT_A_FOLD])
def test_a_layer_is_exported_as_it_is(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = rnn_export.export(*build(name), tmp_path / "bundle")
    report = VerificationReport.stored(bundle.manifest)
    assert bundle.signature.streamable
    # A net may amplify the rounding of one kernel more than that of another; the others are verified.
    assert not [reason for reason in report.left_out if not reason.startswith("variants/gated.onnx")]
    checked = {(check.file, check.runtime) for check in report.checks if check.verdict == PASSED}
    assert checked >= {
        ("model.onnx", "onnxruntime"),
        ("model.onnx", "reference"),
        ("model.pt", "torchscript"),
    }
    model = ir.load(bundle.folder / "model.onnx")
    assert "Loop" not in {node.op_type for node in model.graph}
    assert not [scan for scan in model.graph if scan.op_type == "Scan" and off_cycle(scan)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(NOT_A_FOLD))
def test_what_is_not_a_fold_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ScriptError, match=r"first differ at time step [1-9]\d*, by .*kept outside of the state"
    ):
        rnn_export.export(*build(name), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in NOT_A_FOLD])
def test_two_layers_rows_first_and_ragged(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    size = 8 if name in SAME_SIZE else 12
    model = getattr(torchrecurrent, name)(8, size, num_layers=2, batch_first=True).eval()
    bundle = rnn_export.export(model, torch.randn(3, 5, 8), tmp_path / "bundle", lengths=True)
    assert bundle.signature.streamable
    assert bundle.signature.inputs.shape == ("batch", "time", 8)
    assert bundle.manifest.form != "loop"
    assert VerificationReport.stored(bundle.manifest).passed


@pytest.mark.parametrize("name", [name for name in CELLS if name.removesuffix("Cell") not in NOT_A_FOLD])
def test_a_cell_is_exported_as_one_step(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    size = 8 if name.removesuffix("Cell") in SAME_SIZE else 12
    cell = getattr(torchrecurrent, name)(8, size).eval()
    bundle = rnn_export.export(cell, torch.randn(3, 8), tmp_path / "bundle", step=True)
    assert bundle.signature.streamable
    assert bundle.signature.inputs.shape == ("time", "batch", 8)
    assert VerificationReport.stored(bundle.manifest).passed
