"""Layers that nobody prepared for export: every recurrent layer of the package torchrecurrent."""

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import onnxruntime
import pytest
import torch
import torchrecurrent

import rnn_export
from rnn_export.bundle.golden import RUN, STEP, TINY
from rnn_export.capture import step
from rnn_export.errors import ScriptError
from rnn_export.module import fold_check
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.passes.pipeline import forms_of, optimize
from rnn_export.verification import grid, tolerance
from rnn_export.verification.verify import PASSED, VerificationReport
from tests.support.cases import sample
from tests.support.stages import off_cycle

LAYERS = [name for name in torchrecurrent.cells.__all__ if not name.endswith("Cell")]
NOT_A_FOLD = {"tauGRU"}  # keeps a history outside of its state
SAME_SIZE = {"IntersectionRNN"}  # takes as many inputs as it has hidden units
AMPLIFIES = {"AntisymmetricRNN"}  # rounding grows from step to step, over two layers beyond what is allowed
COARSE = {"IndRNN"}  # ONNX Runtime's tanh in its operators is off by 5e-6 near zero, where inputs are tiny


QUICK = ("PeepholeLSTM",)

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


@pytest.mark.parametrize("name", sample([name for name in LAYERS if name not in NOT_A_FOLD], *QUICK))
def test_a_layer_is_exported_as_it_is(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = rnn_export.export(*build(name), tmp_path / "bundle")
    report = VerificationReport.stored(bundle.manifest)
    assert bundle.signature.streamable
    # A net may amplify the rounding of one kernel more than that of another; the others are verified.
    others = [reason for reason in report.left_out if not reason.startswith("variants/gated.onnx")]
    assert all(name in COARSE and "operator.onnx" in reason and "_tiny_" in reason for reason in others)
    checked = {(check.file, check.runtime) for check in report.checks if check.verdict == PASSED}
    assert checked >= {
        ("model.onnx", "onnxruntime"),
        ("model.onnx", "reference"),
        ("model.pt", "torchscript"),
        ("model.c", "c"),
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


def worst_share(subject: Subject, kinds: tuple[str, ...] = (RUN, STEP)) -> float:
    """Run every form over the grid in ONNX Runtime; give the worst share of what is allowed."""
    signature, coarse = subject.signature, type(subject.original).__name__.removesuffix("Cell") in COARSE
    program = step.capture(replace(subject, signature=replace(signature, lengths=False)))
    cases = grid.build(subject).cases
    allowed = tolerance.bounds(cases, signature)
    shares = []
    for form, made in forms_of(optimize(replace(program, signature=signature))).items():
        if form == "gated":  # the exporter leaves it out where it is not right
            continue
        session = onnxruntime.InferenceSession(made.proto().SerializeToString())
        kept = [case for case in cases if not (coarse and form == "operator" and case.values == TINY)]
        for case in (case for case in kept if case.kind in kinds):
            feeds = dict(zip(signature.input_names, case.arguments, strict=True))
            results = session.run(signature.output_names, feeds)
            shares.append(tolerance.deviation(case, results, allowed[case.name], signature).share)
    return max(shares)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in LAYERS if name not in NOT_A_FOLD])
def test_two_layers_rows_first_and_ragged(name: str) -> None:
    torch.manual_seed(0)
    size = 8 if name in SAME_SIZE else 12
    model = getattr(torchrecurrent, name)(8, size, num_layers=2, batch_first=True).eval()
    subject = inspect_module(model, torch.randn(3, 4, 8) * 0.5)
    assert fold_check.streaming_obstacle(subject) is None
    assert subject.signature.inputs[0].shape == ("batch", "time", 8)
    ragged = replace(subject, signature=replace(subject.signature, lengths=True))
    assert worst_share(ragged, (STEP,) if name in AMPLIFIES else (RUN, STEP)) <= 1


@pytest.mark.parametrize(
    "name",
    sample(
        [name for name in CELLS if name.removesuffix("Cell") not in NOT_A_FOLD],
        *(f"{name}Cell" for name in QUICK),
    ),
)
def test_a_cell_is_exported_as_one_step(name: str) -> None:
    torch.manual_seed(0)
    size = 8 if name.removesuffix("Cell") in SAME_SIZE else 12
    subject = inspect_module(getattr(torchrecurrent, name)(8, size).eval(), torch.randn(3, 8), step=True)
    assert fold_check.streaming_obstacle(subject) is None
    assert subject.signature.inputs[0].shape == ("time", "batch", 8)
    assert worst_share(subject) <= 1
