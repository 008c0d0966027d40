"""One traced step becomes the body of a Scan: right for every T and B, whatever the loop was written in."""

import zipfile

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.capture import step
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script import script
from rnn_export.errors import CaptureError, ExportWarning, ScriptError
from rnn_export.models import GRUScratch, RNNScratch
from rnn_export.module import eager
from rnn_export.module.inspection import inspect_export
from rnn_export.module.reading import inspect_module
from rnn_export.verification import grid
from tests.support.cases import CPU, ModelCase, each_fold


@pytest.mark.several(4)
@each_fold
def test_the_fold_is_the_module(case: ModelCase) -> None:
    subject = inspect_module(*case.build())
    program = step.capture(subject)
    onnx.checker.check_model(program.proto(), full_check=True)
    assert [node.op_type for node in program.model.graph] == ["Scan"]
    reference = eager.start(subject, torch.float64)
    draw = grid.Draw(subject, reference)
    for time, batch in ((1, 1), (11, 2), (64, 5)):
        inputs, state = draw.inputs(time, batch), draw.state(batch)
        feeds = dict(zip(subject.signature.input_names, (*inputs, *state), strict=True))
        for got, want in zip(program.run(feeds).values(), reference(*inputs, *state), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5)


class ChangesItsInputs(nn.Module):
    """Changes what ``unbind`` gives: time steps of the inputs, and parts of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for x_t in x.unbind():
            x_t.add_(0.1)
            h = torch.tanh(x_t * self.weight + h)
            for number, unit in enumerate(h.unbind(-1)):
                unit.mul_(0.1 * number)
        return x + h, h


@pytest.mark.filterwarnings("ignore:.*changes its inputs in place")
def test_entries_that_are_changed_in_place_leave_the_batch_free() -> None:
    torch.manual_seed(0)
    model = ChangesItsInputs().eval()
    program = step.capture(inspect_module(model, (torch.randn(7, 3, 4), torch.zeros(3, 4))))
    for batch in (1, 2, 5):
        x, h = torch.randn(1, batch, 4), torch.randn(batch, 4)
        found = program.run({"inputs": x.numpy(), "state_0": h.numpy()})
        with torch.no_grad():
            want = model(x.clone(), h.clone())
        for got, right in zip(found.values(), want, strict=True):
            np.testing.assert_allclose(got, right.numpy(), atol=1e-6)


class AsksForLength(nn.Module):
    """Begins with as many rows as ``len(x)`` says."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.h0 = nn.Parameter(torch.randn(1, 1, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x, torch.tile(self.h0, (1, len(x), 1)))[0]


def test_len_of_a_batch_leaves_it_free() -> None:
    torch.manual_seed(0)
    model = AsksForLength().eval()
    subject = inspect_export(model, torch.randn(3, 7, 4))
    program = step.capture(subject)
    for batch in (1, 2, 5):
        x = torch.randn(batch, 1, 4)
        with torch.no_grad():
            want = model(x).numpy()
        [start] = subject.signature.initial_state(batch)
        found = program.run({"inputs": x.numpy(), "state_0": start})
        np.testing.assert_allclose(found["outputs"], want, atol=1e-6)
    assert len(x) == 5


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for x_t in x:
            h = torch.tanh(x_t * self.weight + h) if x_t.abs().max() < 9 else h
        return h, h


def test_what_cannot_be_traced_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CaptureError, match="cannot be traced: Could not guard on data"):
        step.capture(inspect_module(Branching().eval(), (torch.randn(6, 2, 4), torch.zeros(2, 4))))
    assert capfd.readouterr() == ("", "")


def test_the_graph_depends_on_neither_time_nor_batch() -> None:
    net = GRUScratch(4, 6, 3)
    sizes = ((1, 1), (5, 2), (300, 7))
    programs = [
        step.capture(inspect_module(net, (torch.randn(t, b, 4), net.begin_state(b, CPU)))) for t, b in sizes
    ]
    assert len({program.proto().SerializeToString(deterministic=True) for program in programs}) == 1


def test_one_capture_leaves_no_trace_in_the_next(rnn: ModelCase) -> None:
    subject = inspect_module(*rnn.build())
    other = GRUScratch(2, 3, 1)
    alone = step.capture(subject).proto()
    step.capture(inspect_module(other, (torch.randn(4, 2, 2), other.begin_state(2, CPU))))
    assert step.capture(subject).proto() == alone


def test_nothing_is_said(rnn: ModelCase, capfd: pytest.CaptureFixture[str]) -> None:
    step.capture(inspect_module(*rnn.build()))
    assert capfd.readouterr() == ("", "")


class Generator(nn.Module):
    """A generator, a dictionary of both: Python that TorchScript does not know."""

    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleDict({"only": nn.LSTMCell(4, 6)})
        self.out = nn.Linear(6, 3)

    def forward(self, inputs, state):
        memory = dict(zip("hc", state, strict=True))

        def run():
            for X in inputs:
                memory["h"], memory["c"] = self.cells["only"](X, (memory["h"], memory["c"]))
                yield memory["h"]

        return self.out(torch.stack([*run()])), [memory["h"], memory["c"]]


def test_what_torchscript_cannot_compile_is_exported_all_the_same(tmp_path) -> None:
    torch.manual_seed(0)
    model = Generator().eval()
    example = torch.randn(9, 2, 4), [torch.zeros(2, 6), torch.zeros(2, 6)]
    with pytest.raises(ScriptError):
        script.script(inspect_module(model, example))
    bundle = rnn_export.export(model, example, tmp_path / "bundle")
    assert bundle.signature.streamable
    assert "variants/loop.onnx" not in bundle.manifest.files
    assert {check["file"] for check in bundle.manifest.verification["checks"]} >= {"model.pt", "model.onnx"}
    archive = zipfile.ZipFile(bundle.folder / "model.pt")
    assert any(b"torch.append" in archive.read(name) for name in archive.namelist() if name.endswith(".py"))


class Decides(nn.Module):
    """What is computed depends on a value: a step alone does not show it all."""

    def __init__(self):
        super().__init__()
        self.net = RNNScratch(4, 6, 3, sigma=0.3)

    def forward(self, inputs, state: tuple[torch.Tensor]):
        if bool((state[0] > 100).any()):
            inputs = inputs * 2
        return self.net(inputs, state)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_step_that_cannot_be_traced_is_named_and_scripted(tmp_path) -> None:
    model = Decides().eval()
    example = torch.randn(9, 2, 4), (torch.zeros(2, 6),)
    with pytest.raises(
        CaptureError, match=r"one time step of Decides cannot be traced: .*Keep Python decisions"
    ):
        step.capture(inspect_module(model, example))
    bundle = rnn_export.export(model, example, tmp_path / "bundle")
    assert bundle.manifest.form != "loop"  # the scripted loop, rewritten
    assert {"If", "Loop"} & {node.op_type for node in onnx.load(bundle.folder / "model.onnx").graph.node} == {
        "If"
    }


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_loop_that_cannot_be_rewritten_is_shipped_as_it_is(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(*_: object) -> reader.Reading:
        return reader.Reading(None, (reader.Recurrence("Loop", "loop", 1, "it is odd"),))

    monkeypatch.setattr(reader, "read", left)
    with pytest.warns(ExportWarning, match=r"cannot be traced: .*model.onnx is the scripted loop") as said:
        bundle = rnn_export.export(
            Decides().eval(), (torch.randn(9, 2, 4), (torch.zeros(2, 6),)), tmp_path / "bundle"
        )
    assert __file__ in {warning.filename for warning in said}
    loop = (bundle.folder / "variants" / "loop.onnx").read_bytes()
    assert (bundle.folder / "model.onnx").read_bytes() == loop
    assert (bundle.manifest.form, bundle.manifest.passes) == ("loop", [])
