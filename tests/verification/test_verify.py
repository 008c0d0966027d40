"""Every case agrees with eager in every runtime, and a wrong file never gets into a bundle."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
import torch
from onnx import load
from torch import nn

import rnn_export
from rnn_export.bundle.bundle import MANIFEST, Bundle, describe_files, manifest_text
from rnn_export.bundle.golden import RUN, STEP
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.capture import capture, step
from rnn_export.capture.script import script
from rnn_export.errors import BundleError, RuntimeUnavailableError, VerificationError
from rnn_export.models import RNNScratch
from rnn_export.module import fold_check
from rnn_export.module.reading import inspect_module
from rnn_export.passes import forms as made
from rnn_export.passes.operators.guard import unguarded
from rnn_export.passes.pipeline import forms_of, optimize
from rnn_export.program.program import Program
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.runtimes.worker import Blocked
from rnn_export.verification import grid, tolerance
from rnn_export.verification import verify as verification
from rnn_export.verification.compare import FAILED, NOT_CHECKED, PASSED
from rnn_export.verification.verify import VerificationReport, verify
from tests.support.cases import CASES, CPU, ModelCase, each_case, sample
from tests.support.exports import Exported
from tests.support.manifests import rewrite
from tests.support.mutants import without_a_bias


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
        longest = RUNTIMES[check.runtime].reach(check.file)
        asked = [one for one in exported(case).cases if one.kind == RUN and one.time <= longest]
        runs, least = (check.cut, 17) if check.file == STEP_ONNX else (check.whole, 20)
        assert runs.cases == len(asked) > least
        assert (check.step is not None) == (check.cut is not None) == case.streamable


@pytest.mark.parametrize("case", [case for case in CASES if case.streamable], ids=lambda case: case.name)
def test_single_steps_are_at_most_four_times_as_far_from_float64_as_eager(
    case: ModelCase, exported: Exported
) -> None:
    bundle = exported(case)
    results = [array for one in bundle.cases if one.kind == STEP for array in one.float64]
    largest = max(float(np.nan_to_num(np.abs(array), posinf=0).max()) for array in results)
    last_bits = tolerance.FLOOR * np.finfo(bundle.signature.dtype).eps * largest
    for check in VerificationReport.stored(bundle.manifest).checks:
        if check.verdict == NOT_CHECKED:
            continue
        assert check.step.error <= 4 * check.step.eager + last_bits


@pytest.mark.several(1)
@pytest.mark.usefixtures("fresh_processes")
@pytest.mark.parametrize("case", sample(CASES, "deep_bidirectional"))
def test_a_folder_can_be_verified_again(case: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(case).folder, tmp_path / "elsewhere")
    told: list[tuple[str, int, int]] = []
    report = verify(folder, progress=lambda *event: told.append(event))
    assert report == VerificationReport.stored(exported(case).manifest)
    count = len(report.checks)
    assert [(done, total) for _, done, total in told] == [(number, count) for number in range(count + 1)]


def test_hashes_come_first(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    (folder / "model.pt").write_bytes(b"code")
    with pytest.raises(BundleError, match=r"model.pt has 4 bytes"):
        verify(folder)


# --- wrong files; those of tests/mutants.py are caught in test_mutants.py -------------------------------


def without_bias(case: ModelCase) -> nn.Module:
    net = case.build()[0].requires_grad_(False)
    assert without_a_bias(net)
    return net


def test_export_writes_nothing_if_a_file_is_wrong(
    rnn: ModelCase, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, example = rnn.build()
    shutil.copytree(exported(rnn).folder, tmp_path / "bundle")
    other, build = inspect_module(without_bias(rnn), example), grid.build
    monkeypatch.setattr(grid, "build", lambda _, **asked: build(other, **asked))
    with pytest.raises(VerificationError, match="nothing was written") as caught:
        rnn_export.export(model, example, tmp_path / "bundle", overwrite=True)
    assert "variants/loop.onnx in onnxruntime: failed, T" in str(caught.value)
    assert Bundle.open(tmp_path / "bundle").manifest == exported(rnn).manifest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def compiled_wrong(case: ModelCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let TorchScript compile another module than the one that is exported."""
    right = script.script
    other = inspect_module(without_bias(case), case.build()[1])
    monkeypatch.setattr(script, "script", lambda _: right(other))


def test_a_module_that_is_compiled_wrong_is_traced(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_wrong(rnn, monkeypatch)
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    report = VerificationReport.stored(bundle.manifest)
    assert report.passed
    assert {(check.file, check.verdict) for check in report.checks} >= {("model.pt", PASSED)}
    assert [reason for reason in report.left_out if reason.startswith("model.pt in torchscript: ")]
    assert [reason for reason in report.left_out if reason.startswith("variants/loop.onnx in ")]
    assert rnn_export.load(bundle.folder, "torchscript").signature == bundle.signature


@pytest.mark.exhaustive
def test_a_script_that_is_wrong_is_left_out_alone(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled_wrong(rnn, monkeypatch)
    other = script.script_step(inspect_module(without_bias(rnn), rnn.build()[1]))
    monkeypatch.setattr(script, "script_step", lambda _: other)
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert {"model.onnx", "model.c"} <= set(bundle.manifest.files)
    assert not {"model.pt", "variants/loop.onnx"} & set(bundle.manifest.files)
    assert verify(bundle.folder).passed
    with pytest.raises(RuntimeUnavailableError, match=r"no such file \(model.pt in torchscript: T.*Choose"):
        rnn_export.load(bundle.folder, "torchscript")


def forms_for(model: nn.Module, example: tuple[torch.Tensor, object]) -> dict[str, Program]:
    return forms_of(optimize(step.capture(inspect_module(model, example))))


def test_a_form_that_is_wrong_is_left_out(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, example = rnn.build()
    forms = forms_for(model, example)
    wrong = forms_for(without_bias(rnn), example)
    fused = {form: wrong[form] for form in ("gated", "operator")}
    monkeypatch.setattr(made, "_worth_shipping", lambda *_: {**forms, **fused})
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert "variants/operator.onnx" not in bundle.manifest.files
    operators = {node.op_type for node in unguarded(ir.load(bundle.folder / "model.onnx")).graph}
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
    model, example = without_bias(rnn), rnn.build()[1]
    wrong = forms_for(model, example)
    monkeypatch.setattr(made, "_worth_shipping", lambda *_: wrong)
    export_loop = capture.LoopExport
    damaged = script.script(inspect_module(model, example))
    monkeypatch.setattr(capture, "LoopExport", lambda _, *others: export_loop(damaged, *others))
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
    model = unguarded(ir.load(bundle.folder / "model.onnx"))
    assert "GRU" in [node.op_type for node in model.graph]


@pytest.mark.usefixtures("fresh_processes")
def test_a_crash_is_a_failure(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    model = load(folder / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    report = verify(folder)
    wrong = [check for check in report.checks if check.file == "model.onnx"]
    assert [check.verdict for check in wrong] == [FAILED, FAILED]
    assert all("the process ended with status 1" in check.detail for check in wrong)


def endless(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a file turn its first result around as often as there are numbers."""
    first = model.graph.output[0]
    node = next(node for node in model.graph.node if first.name in node.output)
    node.output[list(node.output).index(first.name)] = "once"
    loop = onnx.parser.parse_graph(
        """
        again (float[N] once) => (float[N] RESULT) {
            n = Constant <value = int64 {4611686018427387904}> () yes = Constant <value = bool {1}> ()
            RESULT = Loop (n, yes, once) <body = step (
                int64 i, bool go, float[N] y_s
            ) => (bool go_on, float[N] y_t) { go_on = Identity (go) y_t = Neg (y_s) }> }
        """.replace("RESULT", first.name)
    )
    model.graph.node.extend(loop.node)
    return model


def test_a_file_that_never_ends_is_a_failure(
    rnn: ModelCase, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "LIMITS", (0.3, 0.02))
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    (folder / "model.onnx").write_bytes(endless(load(folder / "model.onnx")).SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    bundle = Bundle.open(folder)
    report = verification.check_bundle(bundle, files=["model.onnx"])
    assert [check.verdict for check in report.checks] == [FAILED, FAILED]
    took = r"/whole took more than [\d.]+ s of the processor"
    assert all(re.search(took, check.detail) for check in report.checks)


def test_the_initial_state_of_the_manifest_is_that_of_the_golden_runs(
    rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    rewrite(folder, lambda manifest: manifest["signature"]["state"][0].update(initial=0.5))
    with pytest.raises(BundleError, match="expected one that begins with the initial state of the manifest"):
        verify(folder)


class Resets(nn.Module):
    """Starts anew after 256 time steps, which its state does not count."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 8), nn.Linear(8, 8)

    def forward(self, inputs: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs: list[torch.Tensor] = []
        for t in range(inputs.shape[0]):
            state = torch.tanh(self.x(inputs[t]) + self.h(state if t == 0 or t % 256 != 0 else state * 0))
            outputs.append(state)
        return torch.stack(outputs), state


@pytest.mark.far
def test_what_long_runs_show_to_be_no_fold_is_exported_for_whole_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(fold_check, "LONG", 100)  # it does not see it
    example = torch.randn(9, 2, 4), torch.zeros(2, 8)
    bundle = rnn_export.export(Resets().eval(), example, tmp_path / "bundle")
    reason = bundle.signature.not_streamable_because or ""
    assert reason.startswith("files that run it step by step do not agree with it: ")
    assert "T300_B1" in reason or "T1025_B1" in reason
    assert VerificationReport.stored(bundle.manifest).passed


def test_a_missing_runtime_is_not_a_pass(
    rnn: ModelCase, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(rnn).folder
    monkeypatch.setattr(
        "rnn_export.runtimes.table.find_spec", lambda name: None if name == "torch" else object()
    )
    report = verify(folder)
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
    assert by_name == {"notebook": ["tests.support.notebook"], "rnn": ["rnn_export.models.rnn"]}


def test_runtimes_are_named_by_their_files() -> None:
    folder = Path(rnn_export.__file__).parent / "runtimes"
    assert all((folder / f"{name}.py").is_file() for name in RUNTIMES)
