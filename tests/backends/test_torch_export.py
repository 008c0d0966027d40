"""``model.pt2`` gives what eager PyTorch gives, for any sizes; why it cannot be written is said."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.backends import torch_export
from rnn_export.backends.archive import canonical
from rnn_export.bundle.layout import MODEL_PT2
from rnn_export.bundle.untrusted import exported as untrusted
from rnn_export.capture.capture import capture
from rnn_export.errors import BundleError, CaptureError, InputError, VerificationError
from rnn_export.models import GRUScratch
from rnn_export.module import eager
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from rnn_export.module.subject import Subject
from rnn_export.progress import silent
from rnn_export.runtimes import torch_export as runtime
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, TensorSpec
from rnn_export.verification.choose import _left_out
from rnn_export.workers import Workers
from tests.bundle.untrusted.attacks import put
from tests.support.cases import CALL_CASES, FOLDS, CallCase, ModelCase
from tests.support.folded import StepNet
from tests.support.step_nets import STEP_NETS

SIZES = ((1, 1), (1, 4), (9, 3), (23, 2))  # time steps and rows
STREAMING = [*FOLDS, *(case for case in CALL_CASES if case.streamable)]


def inspected(model: nn.Module, args: Any, *, step: bool = False, lengths: bool = False) -> Subject:
    return inspect_export(model, args, kwargs=None, step=step, lengths=lengths, said=Said({}, {}, None))


def drawn(spec: TensorSpec, example: Tensor, sizes: dict[str, int], rng: np.random.Generator) -> Array:
    shape = spec.sized(**sizes)
    if not spec.dtype.startswith("float"):
        return rng.choice(example.numpy().ravel(), shape)
    return rng.standard_normal(shape).astype(spec.dtype)


@pytest.mark.several(4)
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("case", STREAMING, ids=lambda case: case.name)
def test_gives_what_eager_gives(case: ModelCase | CallCase, lengths: bool, tmp_path: Path) -> None:
    subject = inspected(*case.build(), step=getattr(case, "step", False), lengths=lengths)
    if not subject.signature.streamable:  # but rolled up it is
        with Workers() as workers:
            subject = capture(subject, silent, workers).subject
    compared(subject, tmp_path)


@pytest.mark.several(2)
@pytest.mark.parametrize("net", STEP_NETS.values(), ids=STEP_NETS.keys())
def test_whatever_a_time_step_computes(net: StepNet, tmp_path: Path) -> None:
    compared(inspected(net.module(), net.example()), tmp_path)


def compared(subject: Subject, tmp_path: Path) -> None:
    """Write a module, and compare the file with eager PyTorch at several sizes."""
    signature = subject.signature
    torch_export.write(subject, tmp_path / MODEL_PT2)
    call = runtime.start(tmp_path / MODEL_PT2, signature)
    right = eager.start(subject, getattr(torch, signature.dtype))
    rng = np.random.default_rng(0)
    for time, batch in SIZES:
        sizes = {TIME: time, BATCH: batch}
        given = [
            drawn(spec, example, sizes, rng)
            for spec, example in zip(
                (*signature.inputs, *signature.state), (*subject.inputs, *subject.state), strict=True
            )
        ]
        given += [rng.integers(0, time + 1, batch)] if signature.lengths else []
        for spec, got, want in zip(signature.results, call(*given), right(*given), strict=True):
            assert got.dtype == spec.dtype
            np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)


class Decay(nn.Module):
    """Has weights with names that functions around it have; gives the last time step alone as well."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor([0.5, 0.25]))
        self.signature = nn.Parameter(torch.tensor([1.0, -1.0]))
        self.register_buffer("padding_0", torch.tensor([0.1, 0.2]))

    def forward(self, x: Tensor, self_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        results = []
        for t in range(x.shape[2]):
            self_ = self_ * self.step + x[:, :, t] * self.signature
            results.append(self_ + self.padding_0)
        return torch.stack(results, 2), results[-1].sum(1, keepdim=True), self_


def test_names_of_weights_and_inputs_are_the_modules_own(tmp_path: Path) -> None:
    subject = inspected(Decay().eval(), (torch.randn(3, 2, 5), torch.zeros(3, 2)))
    torch_export.write(subject, tmp_path / MODEL_PT2)
    program = torch.export.load(tmp_path / MODEL_PT2)
    assert {*program.state_dict} == {"step", "signature", "padding_0"}
    assert list(program.graph_signature.user_inputs) == subject.signature.file_inputs
    x, state = torch.randn(2, 2, 7), torch.randn(2, 2)
    for got, want in zip(program.module()(x, state), Decay()(x, state), strict=True):
        torch.testing.assert_close(got, want)
    with pytest.raises(RuntimeError, match=r"shape\[0\] to be equal to 2, but got 1"):  # rows without a state
        program.module()(x, state[:1])


def test_the_same_bytes_without_a_path_or_a_pickle(tmp_path: Path) -> None:
    net = GRUScratch(4, 6, 3)
    contents = []
    for name in ("a", "b"):
        subject = inspected(net, (torch.randn(9, 3, 4), net.begin_state(3, torch.device("cpu"))))
        torch_export.write(subject, tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    untrusted.check(contents[0], MODEL_PT2)
    with zipfile.ZipFile(io.BytesIO(contents[0])) as members:
        assert not [name for name in members.namelist() if members.read(name)[:1] == b"\x80"]
    for trace in (str(Path(rnn_export.__file__).parent), "stack_trace", "test_torch_export"):
        assert trace.encode() not in contents[0]


class Backward(nn.Module):
    """Is no fold: it begins with the last time step."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x.flip(0), 0)


def test_what_does_not_stream_is_left_out_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    bundle = rnn_export.export(Backward(), torch.randn(7, 3, 4), folder, pt2=True)
    assert bundle.why_without(MODEL_PT2).startswith("model.pt2: it cannot be run step by step: ")
    assert not (folder / MODEL_PT2).exists()
    assert rnn_export.load(folder, "torchscript") is not None  # its reasons are not those of model.pt
    with pytest.raises(VerificationError, match=r"pt2 is required: model.pt2 was left out: it cannot be run"):
        rnn_export.export(Backward(), torch.randn(7, 3, 4), tmp_path / "c", pt2=True, require="pt2")


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    subject = inspected(Decay().eval(), (torch.randn(3, 2, 5), torch.zeros(3, 2)))

    class Fixed(nn.Module):
        def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
            return x.reshape(3, 2, 4), state, state

    with pytest.raises(CaptureError, match="a loop around its traced step failed"):
        torch_export.exported(Fixed(), subject.signature)


def test_a_wrong_one_is_left_out() -> None:
    assert _left_out(["scan"], {MODEL_PT2}, "scan") == [MODEL_PT2]


def test_asked_for_it_is_verified_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    net = GRUScratch(4, 6, 3)
    args = torch.randn(9, 3, 4), net.begin_state(3, torch.device("cpu"))
    with pytest.raises(InputError, match=r"require: expected a file that is written, got 'pt2'. .* pt2=True"):
        rnn_export.export(net, args, tmp_path / "b", require="pt2")
    rnn_export.export(net, args, tmp_path / "b", pt2=True, require=["torch_export"])
    report = rnn_export.verify(tmp_path / "b", require="pt2")
    assert report.passed
    [check] = [check for check in report.checks if check.file == MODEL_PT2]
    assert (check.runtime, check.verdict) == ("torch_export", "passed")
    assert len(check.measures) == 3  # single steps, whole runs, runs that are cut
    wrong = canonical((tmp_path / "b" / MODEL_PT2).read_bytes(), other_weight)
    put(tmp_path / "b", MODEL_PT2, wrong)
    [check] = [check for check in rnn_export.verify(tmp_path / "b").checks if check.verdict == "failed"]
    assert check.file == MODEL_PT2
    assert "expected" in check.detail


def other_weight(name: str, record: bytes) -> bytes:
    if not name.endswith("/weight_0"):
        return record
    weight = np.frombuffer(record, np.float32).copy()
    weight[0] += 0.1
    return weight.tobytes()


def test_runs_in_a_process_that_knows_pytorch_alone(tmp_path: Path) -> None:
    net = GRUScratch(4, 6, 3)
    subject = inspected(net, (torch.randn(9, 3, 4), net.begin_state(3, torch.device("cpu"))))
    torch_export.write(subject, tmp_path / MODEL_PT2)
    lines = (
        f"import sys, torch; program = torch.export.load({str(tmp_path / MODEL_PT2)!r}).module()",
        "whole, last = program(torch.ones(6, 2, 4), torch.zeros(2, 6))",
        "first, state = program(torch.ones(1, 2, 4), torch.zeros(2, 6))",
        "rest, state = program(torch.ones(5, 2, 4), state)",
        "assert torch.equal(torch.cat([first, rest]), whole) and torch.equal(state, last)",
        "assert 'rnn_export' not in sys.modules",
    )
    subprocess.run([sys.executable, "-I", "-c", "\n".join(lines)], check=True, cwd=tmp_path)


def test_what_is_no_program_is_named(tmp_path: Path) -> None:
    signature = inspected(Decay().eval(), (torch.randn(3, 2, 5), torch.zeros(3, 2))).signature
    (tmp_path / MODEL_PT2).write_bytes(b"PK")
    with pytest.raises(BundleError, match=r"model.pt2 cannot be loaded in PyTorch: .* Export it again"):
        runtime.start(tmp_path / MODEL_PT2, signature)
