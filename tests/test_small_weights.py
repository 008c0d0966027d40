"""Exports with smaller weights, end to end."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import rnn_export
from rnn_export.bundle.bundle import describe_files
from rnn_export.cli.main import app
from rnn_export.errors import InputError
from rnn_export.verification.verify import VerificationReport
from tests.support.c_programs import build_driver, needs_compiler, run_driver


class Tokens(nn.Module):
    """A small language model with tied weights, and a gain that is no matrix of a product."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.cell, self.head = nn.Embedding(20, 24), nn.GRU(24, 24), nn.Linear(24, 20)
        self.head.weight = self.table.weight
        self.gain = nn.Parameter(torch.ones(1, 24))

    def forward(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run it."""
        outputs, state = self.cell(self.table(ids), state)
        return self.head(outputs * self.gain), state


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> rnn_export.Bundle:
    torch.manual_seed(0)
    example = torch.randint(20, (12, 3)), torch.zeros(1, 3, 24)
    return rnn_export.export(Tokens(), example, tmp_path_factory.mktemp("weights") / "tokens", weights="int8")


@needs_compiler
def test_the_manifest_says_how_they_are_rounded_and_what_that_costs(bundle: rnn_export.Bundle) -> None:
    facts = bundle.manifest.weights
    assert facts["format"] == "int8"
    assert facts["matrices"] == ["table.weight", "cell.weight_ih_l0", "cell.weight_hh_l0"]
    assert facts["float32"] == ["gain: no product reads it as it is"]
    [cost] = facts["outputs"]
    assert cost["steps"] == [1, 10, 12]
    assert 0 < max(cost["errors"]) < 0.03 * cost["size"]
    assert 0.8 < cost["argmax"] <= 1
    before, after = facts["perplexity"]
    assert after == pytest.approx(before, rel=0.02)
    assert before != after
    assert json.loads((bundle.folder / "manifest.json").read_text())["weights"] == facts
    assert rnn_export.Bundle.open(bundle.folder).manifest.weights == facts


@needs_compiler
def test_every_file_agrees_with_eager_on_the_rounded_weights(bundle: rnn_export.Bundle) -> None:
    report = VerificationReport.stored(bundle.manifest)
    assert report.passed
    assert not report.left_out
    assert {"model.c", "model.onnx", "model.pt"} <= {check.file for check in report.checks}
    assert rnn_export.verify(bundle.folder).passed
    kinds = {tensor.data_type for tensor in onnx.load(bundle.folder / "model.onnx").graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert "int8_t" in (bundle.folder / "model.c").read_text()


@needs_compiler
def test_a_scale_that_is_wrong_is_found(bundle: rnn_export.Bundle, tmp_path: Path) -> None:
    model = onnx.load(bundle.folder / "model.onnx")
    [scale] = [each for each in model.graph.initializer if each.name.endswith("R/scale")]
    wrong = onnx.numpy_helper.to_array(scale).copy()
    wrong.flat[5] *= np.float32(1.01)
    scale.CopyFrom(onnx.numpy_helper.from_array(wrong, scale.name))
    folder = tmp_path / "wrong"
    folder.mkdir()
    bundle.copy(folder)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "manifest.json").write_text(replace(bundle.manifest, files=describe_files(folder)).to_json())
    assert not rnn_export.verify(folder).passed


@needs_compiler
def test_the_report_and_the_command_line_say_it(bundle: rnn_export.Bundle) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(bundle.folder)]).output
    for text in (" ".join(shown.split()), (bundle.folder / "report.html").read_text()):
        assert "eights in int8, against float32, in eager PyTorch on the example (T=12, B=3)" in text
        assert "argmax alike in" in text
        assert "gain: no product reads it as it is" in text


@pytest.mark.exhaustive
@pytest.mark.needs("aarch64-linux-gnu-gcc", "qemu-aarch64")
def test_arm_decodes_them(bundle: rnn_export.Bundle, tmp_path: Path) -> None:
    command = "aarch64-linux-gnu-gcc"
    build_driver(bundle.folder, "tokens", tmp_path / "driver", "-static", command=command)
    run_driver(bundle, "qemu-aarch64", tmp_path / "driver")


def test_a_format_that_there_is_not_is_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weights: expected one of float32, bf16, int8, got 'int4'"):
        rnn_export.export(Tokens(), torch.zeros(1), tmp_path / "tokens", weights="int4")
