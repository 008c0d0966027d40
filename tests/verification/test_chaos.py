"""Nets that amplify rounding pass, with their horizon named; the same nets with one wrong weight do not."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchrecurrent
from torch import nn

import rnn_export
from rnn_export.bundle.bundle import MANIFEST, Bundle, describe_files, manifest_text
from rnn_export.errors import VerificationError
from rnn_export.models import RNNScratch
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.passes.choose import rank
from rnn_export.verification.compare import FAILED
from rnn_export.verification.verify import VerificationReport, verify
from tests.support.cases import CPU, randomized
from tests.support.written import written

# The operator of some processors is not as exact as eager, and then rightly left out.
COARSE = "variants/operator.onnx in onnxruntime: "
WRONG_BY = 1e-3  # one weight


def antisymmetric() -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    return randomized(torchrecurrent.AntisymmetricRNN(8, 64)), torch.randn(1000, 2, 8)


def with_radius(size: int, radius: float) -> tuple[nn.Module, Any]:
    """Circular law: a matrix with entries of deviation r / sqrt(n) has a spectral radius of about r."""
    torch.manual_seed(0)
    net = RNNScratch(2, size, 1)
    net.W_hh.data = torch.randn(size, size) * radius / math.sqrt(size)
    return net, (torch.randn(1000, 2, 2), net.begin_state(2, CPU))


def files_of(model: nn.Module, example: Any, right: Bundle, folder: Path) -> Bundle:
    """Put all files of another model beside the golden vectors of a right bundle, hashes and all."""
    subject = find_streaming(inspect_module(model, example))
    folder.mkdir()
    forms = written(subject, folder, "wrong").improved.forms
    form = rank(forms, subject.steps, subject.batch)[0]
    (folder / f"variants/{form}.onnx").rename(folder / "model.onnx")
    shutil.copytree(right.folder / "golden", folder / "golden")
    manifest = json.loads((right.folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    return Bundle.open(folder)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("make", "horizon"),
    [
        pytest.param(antisymmetric, (100, 1000), id="AntisymmetricRNN"),
        pytest.param(lambda: with_radius(512, 2.2), (20, 100), id="radius_2.2"),
    ],
)
def test_chaos_passes_with_its_horizon_and_a_wrong_weight_does_not(
    make: Callable[[], tuple[nn.Module, Any]],
    horizon: tuple[int, int],
    tmp_path: Path,
    figure: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    bundle = rnn_export.export(*make(), tmp_path / "right")
    report = VerificationReport.stored(bundle.manifest)
    assert report.passed
    assert all(reason.startswith(COARSE) for reason in report.left_out)
    assert max(report.grid["time"]) == 1000
    assert report.dynamics is not None
    assert report.dynamics.exponent > 0
    assert horizon[0] < report.dynamics.horizon < horizon[1]
    assert {check.file for check in report.checks} >= {"model.pt", "model.onnx", "model.c"}

    model, example = make()
    weight = max(model.parameters(), key=torch.numel)
    weight.data.view(-1)[weight.numel() // 2] += WRONG_BY
    checks = verify(files_of(model, example, bundle, tmp_path / "wrong").folder).checks
    assert {check.file for check in checks} >= {"model.pt", "model.onnx", "model.c"}
    assert {check.verdict for check in checks} == {FAILED}
    least = min(check.step.share for check in checks)
    assert least > 2
    figure(
        f"chaos, {request.node.callspec.id}: exponent {report.dynamics.exponent:.3f}, horizon "
        f"{report.dynamics.horizon} of 1000 time steps, worst share of what is allowed "
        f"{max(check.worst.share for check in report.checks):.2f}; one weight off by {WRONG_BY}: "
        f"{least:.0f} times what is allowed in a step, {len(checks)} of {len(checks)} checks failed"
    )


@pytest.mark.exhaustive
def test_the_bound_follows_a_growing_error_through_time(tmp_path: Path) -> None:
    bundle = rnn_export.export(*with_radius(64, 4.8), tmp_path / "bundle")
    report = VerificationReport.stored(bundle.manifest)
    allowed, time = np.array(report.curve.allowed), np.array(report.curve.time)
    assert (allowed >= np.maximum.accumulate(allowed) / 2).all()  # each length has rows of its own
    assert allowed[0] < 1e-5
    assert allowed[np.searchsorted(time, report.dynamics.horizon)] > 1e-3
    for check in report.checks:
        assert (np.array(check.curve) <= allowed).all()


class Steep(nn.Module):
    """What is left of a state after a step are digits that float32 does not have."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([1e6]))

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = torch.sin(self.slope * (state + X))
            outputs.append(state)
        return torch.stack(outputs), state


def test_a_net_of_which_no_two_steps_can_be_compared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"at least 2, got [01]: .* Nothing was written"):
        rnn_export.export(Steep(), (torch.randn(9, 2, 4), torch.zeros(2, 4)), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())
