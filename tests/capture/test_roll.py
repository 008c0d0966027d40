"""Loops with a state in local variables, whether TorchScript compiles them or not: rolled up from a trace."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export import exporter
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.errors import DisagreementError, ModelError
from rnn_export.verification.choose import Chosen
from rnn_export.verification.verify_export import Verified

H = 6


@dataclass
class Config:
    """What TorchScript takes for no attribute."""

    squash: Callable[[Tensor], Tensor] = torch.tanh


class Spiking(nn.Module):
    """Two layers of units whose potentials are in local variables; every output of both is collected.

    Each time step makes a constant of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.first, self.second = nn.Linear(4, H), nn.Linear(H, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = b = None
        spikes, potentials = [], []
        for step in range(x.size(0)):
            current = self.first(x[step])
            a = 0.9 * (torch.zeros_like(current) if a is None else a) + current
            spike = torch.sigmoid(4 * (a - torch.tensor(1.0)))
            a = a - spike
            current = self.second(spike)
            b = 0.8 * (torch.zeros_like(current) if b is None else b) + current
            spikes.append(self.config.squash(b))
            potentials.append(b)
        return torch.stack(spikes), torch.stack(potentials)


class Learned(nn.Module):
    """A start that is learned, a linear layer in front of the loop and one behind it; batch first."""

    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.start = nn.Parameter(torch.randn(H))
        self.into, self.cell, self.out = nn.Linear(4, 5), nn.GRUCell(5, H), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = self.start.expand(x.shape[0], H), []
        for u in self.into(x).unbind(1):
            h = self.config.squash(self.cell(u, h))
            outputs.append(h)
        return self.out(torch.stack(outputs, 1))


class Delayed(nn.Module):
    """Reads the inputs of the time step before as well; the outputs of one loop are read by a second one."""

    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.weight = nn.Parameter(torch.randn(4, 4) / 2)

    def forward(self, x: Tensor) -> Tensor:
        before, h, inner = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
        for x_t in x:
            h = self.config.squash(x_t @ self.weight + before * h)
            before = x_t
            inner.append(h)
        g, outputs = torch.zeros_like(x[0]), []
        for y_t in torch.stack(inner):
            g = 0.5 * g + y_t
            outputs.append(g.unsqueeze(0))
        return torch.cat(outputs)


class Compiled(nn.Module):
    """What TorchScript compiles: equations written by hand, zeros to begin with."""

    def __init__(self) -> None:
        super().__init__()
        self.W, self.U = nn.Parameter(torch.randn(4, H) / 2), nn.Parameter(torch.randn(H, H) / 3)
        self.b, self.out = nn.Parameter(torch.randn(H)), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], self.b.numel())
        outputs = []
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ self.W + h @ self.U + self.b)
            outputs.append(self.out(h))
        return torch.stack(outputs, 1)


class CompiledLast(nn.Module):
    """The same with two cells, of which the last output of the second counts."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper, self.out = nn.LSTMCell(4, H), nn.GRUCell(H, H), nn.Linear(H, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = c = g = torch.zeros(x.shape[0], self.out.in_features)
        for t in range(x.shape[1]):
            h, c = self.lower(x[:, t], (h, c))
            g = self.upper(h, g)
        return self.out(g)


class Last(Learned):
    """Gives the last state alone, beside a context that every time step reads."""

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:  # type: ignore[override]
        h = self.start.expand(x.shape[0], H)
        for t in range(x.shape[1]):
            h = self.cell(self.into(x[:, t]) * scale, h)
        return self.out(self.config.squash(h))


class Counting(Learned):
    """Does something else at every time step: no loop that can be rolled up."""

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], H)
        for t in range(x.shape[1]):
            h = self.cell(self.into(x[:, t]), self.config.squash(h) / (t + 1))
        return self.out(h)


class Resetting(Learned):
    """Forgets everything after 256 time steps, which no short trace shows."""

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = torch.zeros(x.shape[0], H), []
        for t in range(x.shape[1]):
            h = self.config.squash(self.cell(self.into(x[:, t]), torch.zeros_like(h) if t == 256 else h))
            outputs.append(h)
        return self.out(torch.stack(outputs, 1))


def sequence(steps: int, batch: int) -> tuple[Tensor, ...]:
    return (torch.randn(steps, batch, 4),)


def batch_first(steps: int, batch: int) -> tuple[Tensor, ...]:
    return (torch.randn(batch, steps, 4),)


def with_context(steps: int, batch: int) -> tuple[Tensor, ...]:
    return torch.randn(batch, steps, 4), torch.randn(batch, 5)


ROLLED = {
    "local": (Spiking, sequence, ["b", "a"]),
    "learned": (Learned, batch_first, ["state_0"]),
    # the product that the next time step reads, not its two factors: no variable holds it
    "delayed": (Delayed, sequence, ["state_0", "state_1"]),
    "last": (Last, with_context, ["state_0"]),
    "compiled": (Compiled, batch_first, ["state_0"]),
    "compiled, last": (CompiledLast, batch_first, ["h", "c", "g"]),
}


@pytest.mark.parametrize("name", [*ROLLED])
def test_it_streams_with_its_local_variables_as_a_state(name: str, tmp_path: Path) -> None:
    kind, draw, variables = ROLLED[name]
    torch.manual_seed(0)
    model: Any = kind().eval()
    bundle = rnn_export.export(model, draw(7, 3), tmp_path / "b")
    signature = bundle.signature
    assert signature.streamable
    assert [leaf.name for leaf in signature.state] == variables
    assert {MODEL_PT, MODEL_C} <= bundle.manifest.files.keys()
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    for steps, batch in ((1, 1), (4, 2), (23, 5)):
        given = draw(steps, batch)
        with torch.no_grad():
            want = model(*given)
        feeds = dict(zip(signature.input_names, map(Tensor.numpy, given), strict=False))
        feeds |= dict(zip(variables, signature.initial_state(batch), strict=True))
        got = session.run(signature.output_names[: len(signature.outputs)], feeds)
        for one, other in zip(got, want if isinstance(want, tuple) else (want,), strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_loop_that_was_compiled_streams(tmp_path: Path) -> None:
    torch.manual_seed(0)
    compiled = torch.jit.script(Compiled().eval())
    bundle = rnn_export.export(compiled, batch_first(7, 3), tmp_path / "b")
    assert [leaf.shape for leaf in bundle.signature.state] == [("batch", H)]


def test_the_state_is_what_the_loop_begins_with(tmp_path: Path) -> None:
    """It is ``h``, of which the loop is an operator, not the product of ``h`` that each time step reads."""
    torch.manual_seed(0)
    bundle = rnn_export.export(Compiled().eval(), batch_first(7, 3), tmp_path / "b")
    assert [leaf.shape for leaf in bundle.signature.state] == [("batch", H)]
    operators = {
        node.op_type for path in bundle.folder.rglob("*.onnx") for node in ir.load(path).graph.all_nodes()
    }
    assert "RNN" in operators


@pytest.mark.exhaustive
def test_one_whose_files_do_not_agree_is_exported_for_whole_sequences(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    choose = exporter.choose_form

    def refused(verified: Verified) -> Chosen:
        if verified.written.improved.captured.subject.signature.streamable:
            raise DisagreementError("the files:\n  one is off", streamed=True)
        return choose(verified)

    monkeypatch.setattr(exporter, "choose_form", refused)
    bundle = rnn_export.export(CompiledLast().eval(), batch_first(7, 3), tmp_path / "b")
    assert not bundle.signature.state
    assert bundle.signature.not_streamable_because == (
        "files that run it step by step do not agree with it: one is off"
    )


@pytest.mark.parametrize("kind", [Counting, Resetting])
def test_a_loop_whose_time_steps_differ_is_refused(kind: type[Learned], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"cannot be run step by step .* cannot compile {kind.__name__}"):
        rnn_export.export(kind().eval(), batch_first(7, 3), tmp_path / "b")
