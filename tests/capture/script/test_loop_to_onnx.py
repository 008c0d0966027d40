"""PyTorch's exporter of TorchScript runs elsewhere: what goes wrong there costs one form of the model."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnn_export
from rnn_export import workers
from rnn_export.backends.c.write.model import compile_program
from rnn_export.bundle.layout import LOOP, variant
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script.script import script, trace
from rnn_export.errors import ScriptError
from rnn_export.module.inspection import inspect_export
from rnn_export.module.reading import inspect_module
from rnn_export.runtimes import c
from rnn_export.signature.tree import tree_leaves
from rnn_export.workers import Worker
from tests.support.c_programs import needs_compiler
from tests.support.cases import ModelCase
from tests.support.counted import Packed
from tests.support.loop_form import export_loop

States = list[list[Tensor]]


class Layered(nn.Module):
    """Two layers, the state of each in a list of its own: what the exporter crashes or stumbles over."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(4, 5), nn.LSTMCell(5, 5)])

    def begin(self, rows: int) -> States:
        return [[torch.zeros(rows, 5), torch.zeros(rows, 5)] for _ in self.cells]


class StepByStep(Layered):
    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        out: list[Tensor] = []
        for x_t in x:
            y, new = x_t, torch.jit.annotate(States, [])
            for k, cell in enumerate(self.cells):
                y, c = cell(y, (state[k][0], state[k][1]))
                new.append([y, c])
            state = new
            out.append(y)
        return torch.stack(out), state


class LayerByLayer(Layered):
    def forward(self, x: Tensor, state: States) -> tuple[Tensor, States]:
        new: States = []
        for k, cell in enumerate(self.cells):
            h, c = state[k][0], state[k][1]
            out: list[Tensor] = []
            for x_t in x:
                h, c = cell(x_t, (h, c))
                out.append(h)
            x = torch.stack(out)
            new.append([h, c])
        return x, new


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (StepByStep(), "the scripted StepByStep cannot be exported to ONNX: ScalarType UNKNOWN_SCALAR"),
        (
            LayerByLayer(),
            r"exported to ONNX: the exporter gives an invalid file, .*unsupported type: seq\(tensor.*"
            "Write its loop",
        ),
    ],
)
def test_what_the_exporter_cannot_do_is_an_error_of_ours(model: Layered, reason: str) -> None:
    subject = inspect_module(model.eval(), (torch.randn(6, 3, 4), model.begin(3)))
    with pytest.raises(ScriptError, match=reason):
        export_loop(script(subject), subject)


@pytest.mark.exhaustive
def test_a_state_in_lists_of_lists_costs_the_loop_alone(tmp_path: Path) -> None:
    model = LayerByLayer()
    example = torch.randn(6, 3, 4), model.begin(3)
    bundle = rnn_export.export(model.eval(), example, tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}
    assert variant(LOOP) not in bundle.manifest.files
    assert "invalid file" in bundle.why_without(variant(LOOP))


@pytest.mark.usefixtures("fresh_processes")
def test_a_crash_of_the_exporter_costs_the_loop_alone(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = workers._answer

    def crash(worker: Worker, asked: bytes, limit: int) -> bytes:
        if b'"export_loop"' in asked:
            os.kill(worker.pid, signal.SIGSEGV)
        return answer(worker, asked, limit)

    monkeypatch.setattr(workers, "_answer", crash)
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}
    assert variant(LOOP) not in bundle.manifest.files
    assert "the exporter failed, the process ended with signal 11" in bundle.why_without(variant(LOOP))


@pytest.mark.usefixtures("fresh_processes")
def test_a_shared_runtime_is_imported_once(rnn: ModelCase) -> None:
    """The exporter and the check of model.pt are forked from one process; neither sees the other."""
    subject = inspect_module(*rnn.build())
    with workers.Workers() as started:
        started.start([], shared=["torchscript"])
        with started.worker("torchscript") as one, started.worker("torchscript") as other:
            assert parent(one.pid) == parent(other.pid) != started.pid
            assert parent(parent(one.pid)) == started.pid
            libraries = Path(f"/proc/{parent(one.pid)}/maps").read_text()
            assert "site-packages/torch" in libraries
            assert "site-packages/onnx" not in libraries
    assert any(node.op_type == "Loop" for node in export_loop(script(subject), subject).graph.node)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


class Unbound(nn.Module):
    """A loop over the entries of a list, in a net that is no fold: every third time step begins anew."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out: list[Tensor] = []
        for t, x_t in enumerate(x.transpose(0, 1).unbind(0)):
            if t % 3 == 2:
                h = h * 0
            h = torch.tanh(self.x(x_t) + self.h(h))
            out.append(h)
        return torch.stack(out).transpose(0, 1), h


def test_the_entries_of_a_list_have_the_axes_of_eager(tmp_path: Path) -> None:
    example = torch.randn(3, 7, 4), torch.zeros(3, 5)
    bundle = rnn_export.export(Unbound().eval(), example, tmp_path / "bundle")
    assert variant(LOOP) in bundle.manifest.files


class Behind(Packed):
    """Pads with a number, and reads the lengths that come back: the means of rows, and their last outputs."""

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, counts = pad_packed_sequence(self.layer(packed)[0], True, self.padding, x.shape[1])
        places = (counts - 1).view(-1, 1, 1).expand(-1, 1, y.shape[2])
        last = self.head(y.gather(1, places).squeeze(1))
        return self.head(y), last / counts.unsqueeze(1)


@needs_compiler
def test_rows_are_padded_as_eager_pads_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Behind(0.5, bidirectional=True).eval()
    subject = inspect_export(net, (torch.randn(3, 7, 4), torch.tensor([7, 2, 4])))
    program = reader.read(export_loop(trace(subject), subject), subject.signature).program
    files = compile_program(program, subject.signature, "net")
    (tmp_path / "model.c").write_text(files.source)
    (tmp_path / "model.h").write_text(files.header)
    x, lengths = torch.randn(4, 9, 4), torch.tensor([5, 9, 1, 3])
    given = {"inputs_0": x.numpy(), "inputs_1": lengths.numpy()}
    with torch.no_grad():
        want = [leaf.numpy() for leaf in tree_leaves(net(x, lengths))]
    in_c = c.start(tmp_path / "model.c", subject.signature)(*given.values())
    for found in ([*program.run(given).values()], in_c):
        for got, expected in zip(found, want, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
