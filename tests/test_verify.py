"""Every case agrees with eager in every runtime, and every wrong file is caught."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from onnx import load
from torch import nn

import rnn_export
from rnn_export import exporter
from rnn_export.backends import onnx, torchscript
from rnn_export.backends.c import compile_program
from rnn_export.bundle import MANIFEST, Bundle, describe_files
from rnn_export.errors import BundleError, VerificationError
from rnn_export.frontends import onnx_file, script, step
from rnn_export.judge import FAILED, NOT_CHECKED, PASSED
from rnn_export.models import RNNScratch
from rnn_export.passes import forms_of, optimize
from rnn_export.program import Program
from rnn_export.runtimes import RUNTIMES
from rnn_export.runtimes.worker import Blocked
from rnn_export.subject import examine
from rnn_export.verify import VerificationReport, verify
from tests.cases import CASES, CPU, ModelCase, each_case
from tests.conftest import Exported


@each_case
def test_every_file_agrees_in_every_runtime(case: ModelCase, exported: Exported) -> None:
    report = VerificationReport.stored(exported(case).manifest)
    assert report.passed
    files = exported(case).manifest.files
    assert {(check.file, check.runtime) for check in report.checks} == {
        (file, name) for file in files for name, runtime in RUNTIMES.items() if file.endswith(runtime.suffix)
    }
    # A net may amplify the rounding of one kernel more than that of another; not every net is one for C.
    assert not [file for file in report.left_out if not file.startswith(("variants/gated.onnx", "model.c"))]
    assert {"model.pt", "model.onnx", "variants/loop.onnx"} <= {check.file for check in report.checks}
    for check in report.checks:
        if check.verdict == NOT_CHECKED:
            assert check.detail.startswith("the reference evaluator cannot load it: Scan")
            assert not case.streamable
            continue
        assert check.verdict == PASSED
        assert check.whole.cases == 6 * len(report.grid["time"])
        assert (check.step is not None) == (check.cut is not None) == case.streamable


@each_case
def test_single_steps_are_at_most_four_times_as_far_from_float64_as_eager(
    case: ModelCase, exported: Exported
) -> None:
    for check in VerificationReport.stored(exported(case).manifest).checks:
        measure = check.step or check.whole
        if check.verdict == NOT_CHECKED:
            continue
        assert measure.error <= 4 * measure.eager


@each_case
def test_a_folder_can_be_verified_again(case: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(case).folder, tmp_path / "elsewhere")
    told: list[tuple[str, int, int]] = []
    report = verify(folder, progress=lambda *event: told.append(event))
    assert report == VerificationReport.stored(exported(case).manifest)
    assert [(done, total) for _, done, total in told] == [
        (number, len(report.checks)) for number in range(1, len(report.checks) + 1)
    ]


def test_hashes_come_first(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    (folder / "model.pt").write_bytes(b"code")
    with pytest.raises(BundleError, match=r"model.pt has 4 bytes"):
        verify(folder)


# --- wrong files ------------------------------------------------------------------------------------------

Break = Callable[[nn.Module], nn.Module]


def without_a_bias(net: nn.Module) -> nn.Module:
    next(p for p in net.parameters() if p.dim() == 1).data.zero_()
    return net


def with_swapped_gates(net: nn.Module) -> nn.Module:
    """Swap the first two weights of one shape that read the state: two gates of a GRU or an LSTM."""
    gates = [p for name, p in net.named_parameters() if ".W_h" in f".{name}" and not name.endswith("W_hq")]
    first, second = next((a, b) for k, a in enumerate(gates) for b in gates[k + 1 :] if a.shape == b.shape)
    first.data, second.data = second.data.clone(), first.data.clone()
    return net


def transposed(net: nn.Module) -> nn.Module:
    weight = next(p for p in net.parameters() if p.dim() == 2 and p.shape[0] == p.shape[1])
    weight.data = weight.data.T.contiguous()
    return net


class Around(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


class IgnoringState(Around):
    def forward(self, inputs, state):
        return self.net(inputs, self.net.begin_state(inputs.size(1), inputs.device))


class LateByOneStep(Around):
    def forward(self, inputs, state):
        outputs, state = self.net(inputs, state)
        return outputs.roll(1, 0), state


class NewestStateLost(Around):
    def forward(self, inputs, state):
        outputs, _ = self.net(inputs, state)
        _, state = self.net(inputs[:-1], state)
        return outputs, state


BREAKS: dict[str, Break] = {
    "dropped bias": without_a_bias,
    "swapped gates": with_swapped_gates,
    "transposed weight": transposed,
    "ignored state": IgnoringState,
    "outputs late by one step": LateByOneStep,
    "state late by one step": NewestStateLost,
}
# What a break needs is not in every net: two gates, a square weight, a bias, more than one time step.
OF_WEIGHTS = {"dropped bias", "swapped gates", "transposed weight"}  # C can be written of these nets
NO_C = {"lstm_float64", "rnn_float64", "char_rnn", "char_deep"}  # not of their scripted loops
PARTS = {
    "dropped bias": (
        "notebook",
        "rnn",
        "gru",
        "lstm",
        "lstm_float64",
        "deep_mixed",
        "bidirectional",
        "char_rnn",
    ),
    "swapped gates": ("gru", "lstm", "lstm_float64", "deep_mixed", "bidirectional", "char_rnn", "char_deep"),
    "transposed weight": (
        "notebook",
        "rnn",
        "gru",
        "lstm",
        "deep_rnn",
        "deep_mixed",
        "bidirectional",
        "char_rnn",
    ),
    "ignored state": ("rnn", "gru", "lstm", "deep_rnn", "deep_mixed", "bidirectional", "char_rnn"),
    "outputs late by one step": (
        "notebook",
        "rnn",
        "gru",
        "lstm",
        "deep_mixed",
        "bidirectional",
        "tensor_state",
    ),
    "state late by one step": (
        "notebook",
        "rnn",
        "gru",
        "lstm",
        "deep_mixed",
        "bidirectional",
        "tensor_state",
    ),
}


def ship(
    bundle: Bundle, case: ModelCase, wrong: torch.jit.ScriptModule, folder: Path, *, c: bool = False
) -> Bundle:
    """Put the files of a wrong model, perhaps C among them, into a copy of a right bundle, hashes and all."""
    shutil.copytree(bundle.folder, folder)
    shutil.rmtree(folder / "variants")
    subject = examine(*case.build())
    torchscript.write(wrong, folder / "model.pt")
    model = onnx.finish(script.export_loop(wrong, subject), subject.signature, "wrong", {})
    onnx.write(model, folder / "model.onnx")
    onnx.write(model, folder / "variants" / "loop.onnx")
    for file in ("model.c", "model.h"):
        (folder / file).unlink(missing_ok=True)
    if c:
        program = onnx_file.read(script.export_loop(wrong, subject), subject.signature).program
        dense = next(stage.program for stage in optimize(program) if stage.name == exporter.DENSE)
        files = compile_program(dense, subject.signature, "wrong")
        (folder / "model.c").write_text(files.source)
        (folder / "model.h").write_text(files.header)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": describe_files(folder)}))
    return Bundle.open(folder)


@pytest.mark.parametrize(
    ("fault", "case"),
    [
        pytest.param(fault, case, id=f"{fault}-{case.name}")
        for fault, names in PARTS.items()
        for case in CASES
        if case.name in names
    ],
)
def test_a_wrong_file_is_caught(fault: str, case: ModelCase, exported: Exported, tmp_path: Path) -> None:
    model, example = case.build()
    wrong = script.script(examine(BREAKS[fault](model.requires_grad_(False)).eval(), example))
    c = fault in OF_WEIGHTS and case.name not in NO_C
    report = verify(ship(exported(case), case, wrong, tmp_path / "wrong", c=c).folder)
    assert not report.passed
    assert ("model.c" in {check.file for check in report.checks}) == c
    for check in report.checks:
        assert check.verdict == FAILED, check
        assert check.detail


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_frozen_time_is_caught(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    """A trace unrolls the loop: right at the example's length alone, where every exporter checks."""
    model, example = rnn.build()
    example = (example[0][: script.SCRIPTED_STEPS], example[1])
    frozen = torch.jit.trace(model.requires_grad_(False), example)
    with torch.no_grad():
        assert torch.equal(frozen(*example)[0], model(*example)[0])
    report = verify(ship(exported(rnn), rnn, frozen, tmp_path / "frozen").folder)
    assert [check.verdict for check in report.checks] == [FAILED] * 5
    assert all(check.detail for check in report.checks)


def test_export_writes_nothing_if_a_file_is_wrong(
    rnn: ModelCase, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, example = rnn.build()
    shutil.copytree(exported(rnn).folder, tmp_path / "bundle")
    right = script.script
    monkeypatch.setattr(exporter.script, "script", lambda subject: right(examine(wrong, example)))
    wrong = without_a_bias(rnn.build()[0].requires_grad_(False))
    with pytest.raises(VerificationError, match="nothing was written") as caught:
        rnn_export.export(model, example, tmp_path / "bundle", overwrite=True)
    assert "model.pt in torchscript: failed, T" in str(caught.value)
    assert Bundle.open(tmp_path / "bundle").manifest == exported(rnn).manifest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def forms_for(model: nn.Module, example: tuple[torch.Tensor, object]) -> dict[str, Program]:
    return forms_of(optimize(step.capture(examine(model, example))))


def test_a_form_that_is_wrong_is_left_out(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, example = rnn.build()
    forms = forms_for(model, example)
    wrong = forms_for(without_a_bias(model.requires_grad_(False)), example)
    fused = {form: wrong[form] for form in ("gated", "operator")}
    monkeypatch.setattr(exporter, "_forms", lambda *_: {**forms, **fused})
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert "variants/operator.onnx" not in bundle.manifest.files
    operators = {node.op_type for node in load(bundle.folder / "model.onnx").graph.node}
    assert "Scan" in operators
    assert not {"GRU", "RNN"} & operators
    report = verify(bundle.folder)
    assert report.passed
    assert [reason.split(": ")[0] for reason in report.left_out] == [
        "variants/gated.onnx in onnxruntime",
        "variants/gated.onnx in reference",
        "variants/operator.onnx in onnxruntime",
        "variants/operator.onnx in reference",
    ]


def test_nothing_is_written_if_every_form_is_wrong(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, example = rnn.build()
    wrong = forms_for(without_a_bias(model.requires_grad_(False)), example)
    monkeypatch.setattr(exporter, "_forms", lambda *_: wrong)
    export_loop = script.export_loop
    damaged = script.script(examine(model, example))
    monkeypatch.setattr(script, "export_loop", lambda _, subject: export_loop(damaged, subject))
    with pytest.raises(VerificationError, match=r"variants/loop.onnx in onnxruntime: failed"):
        rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_the_operator_of_a_runtime_has_to_be_as_right_as_eager(tmp_path: Path) -> None:
    """ONNX Runtime's RNN has a tanh that is off by 1e-7 near zero; that of its GRU is not."""
    torch.manual_seed(0)
    net = RNNScratch(16, 32, 1)
    bundle = rnn_export.export(net, (torch.rand(100, 2, 16), net.begin_state(2, CPU)), tmp_path / "bundle")
    [reason] = bundle.manifest.verification["left_out"]
    assert reason.startswith("variants/operator.onnx in onnxruntime: ")
    assert "GRU" in [node.op_type for node in load(bundle.folder / "model.onnx").graph.node]


def test_a_crash_is_a_failure(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    model = load(folder / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": describe_files(folder)}))
    report = verify(folder)
    wrong = [check for check in report.checks if check.file == "model.onnx"]
    assert [check.verdict for check in wrong] == [FAILED, FAILED]
    assert all("the process ended with status 1" in check.detail for check in wrong)


def test_a_missing_runtime_is_not_a_pass(
    rnn: ModelCase, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_export.runtimes.find_spec", lambda name: None if name == "torch" else object())
    report = verify(exported(rnn).folder)
    unchecked = [check for check in report.checks if check.verdict == NOT_CHECKED]
    assert [(check.file, check.detail) for check in unchecked] == [("model.pt", "torch is not installed")]
    assert not report.passed


def test_the_models_source_cannot_be_imported() -> None:
    code = (
        "import sys; from rnn_export.runtimes.worker import Blocked\n"
        "sys.meta_path.insert(0, Blocked(['rnn_export.models.rnn', 'json.tool']))\n"
        "import rnn_export.models.gru"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "rnn_export.models.rnn holds the model's source" in finished.stderr
    assert Blocked(["a.b"]).find_spec("a.bc") is None


def test_workers_are_told_to_block_the_models_source(exported: Exported) -> None:
    by_name = {case.name: exported(case).manifest.model["source_modules"] for case in CASES[:2]}
    assert by_name == {"notebook": ["tests.notebook"], "rnn": ["rnn_export.models.rnn"]}


def test_runtimes_are_named_by_their_files() -> None:
    folder = Path(rnn_export.__file__).parent / "runtimes"
    assert all((folder / f"{name}.py").is_file() for name in RUNTIMES)
