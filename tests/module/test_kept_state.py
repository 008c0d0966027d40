"""A state that a module keeps in its attributes is an input and an output of its files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_ONNX, MODEL_PT
from rnn_export.errors import ModelError
from rnn_export.module.inspection import inspect_export


class Assigned(nn.Module):
    """Assigns the new state; it begins with rows of numbers that are no zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.h = nn.GRUCell(4, 5), torch.full((3, 5), 0.25)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for x_t in x:
            self.h = self.cell(x_t, self.h)
            outputs.append(self.h)
        return torch.stack(outputs)


class Begun(nn.Module):
    """Has no state before the first call; it is a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out, self.state = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2), None

    def forward(self, x: Tensor) -> Tensor:
        outputs, self.state = self.lstm(x, self.state)
        return self.out(outputs)


class Buffer(nn.Module):
    """Writes into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 5)
        self.register_buffer("h", torch.zeros(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for x_t in x:
            self.h.copy_(self.cell(x_t, self.h))
            outputs.append(self.h.clone())
        return torch.stack(outputs)


class Neuron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.v: Any = None

    def forward(self, current: Tensor) -> Tensor:
        self.v = current if self.v is None else 0.9 * self.v + current
        spikes = (self.v > 1).to(current.dtype)
        self.v = self.v - spikes
        return spikes


class Spiking(nn.Module):
    """Neurons with a potential each; the loop over time is outside of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.lower, self.second, self.upper = (
            *(nn.Linear(4, 6), Neuron()),
            *(nn.Linear(6, 2), Neuron()),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.upper(self.second(self.lower(self.first(x_t)))) for x_t in x])


class Average(nn.Module):
    """Keeps an average over all rows, which is no state of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.mean = nn.GRUCell(4, 5), torch.zeros(4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t in x:
            self.mean = 0.9 * self.mean + 0.1 * x_t.mean(0)
            h = self.cell(x_t - self.mean, h)
            outputs.append(h)
        return torch.stack(outputs), h


KEPT: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[str], float]] = {
    "assigned": (Assigned, (7, 3, 4), ["state_0"], 0.25),
    "begun": (Begun, (3, 7, 4), ["state_0", "state_1"], 0.0),
    "buffer": (Buffer, (7, 3, 4), ["state_0"], 0.0),
    "spiking": (Spiking, (7, 3, 4), ["lower_v", "upper_v"], 0.0),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_is_a_state(name: str) -> None:
    make, shape, names, start = KEPT[name]
    torch.manual_seed(0)
    subject = inspect_export(make().eval(), torch.randn(shape))
    assert subject.signature.streamable
    assert [leaf.name for leaf in subject.signature.state] == names
    for leaf in subject.signature.initial_state(2):
        assert np.all(leaf == start)


@pytest.mark.parametrize("name", KEPT)
def test_the_files_go_on_where_a_call_ended(name: str, tmp_path: Path) -> None:
    make, shape, _, _ = KEPT[name]
    torch.manual_seed(0)
    model, given = make().eval(), torch.randn(shape)
    bundle = rnn_export.export(model, given, tmp_path / "b")
    assert {MODEL_C, MODEL_ONNX, MODEL_PT} <= {*bundle.manifest.files}
    runner, again, state = rnn_export.load(bundle.folder), torch.randn(shape), None
    for inputs in (given, again):  # the export has left the module as it was
        with torch.no_grad():
            want = model(inputs).numpy()
        got, state = runner(inputs.numpy()) if state is None else runner(inputs.numpy(), state)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_what_is_no_state_of_a_row_is_refused_by_name() -> None:
    example = torch.randn(7, 3, 4), torch.zeros(3, 5)
    with pytest.raises(ModelError, match="it changes mean of the module, a buffer or an attribute"):
        inspect_export(Average().eval(), example)


class Both(nn.Module):
    """Takes one state by the name ``state`` and keeps another one; two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper, self.h = nn.GRUCell(4, 5), nn.GRUCell(5, 5), torch.zeros(3, 5)

    def forward(self, signal: Tensor, gate: Tensor, *, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t, g_t in zip(signal, gate, strict=True):
            state = self.lower(x_t, state) * g_t
            self.h = self.upper(state, self.h)
            outputs.append(self.h)
        return torch.stack(outputs), state


def test_what_else_goes_in_keeps_its_place_and_its_name() -> None:
    torch.manual_seed(0)
    given = torch.randn(7, 3, 4), torch.rand(7, 3, 1)
    model, begun = Both().eval(), torch.full((3, 5), 0.5)
    subject = inspect_export(model, given, kwargs={"state": begun})
    signature = subject.signature
    assert [spec.name for spec in signature.inputs] == ["signal", "gate"]
    assert [leaf.shape for leaf in signature.state] == [("batch", 5)] * 2
    results = subject.flat()(*given, begun, torch.zeros(3, 5))
    with torch.no_grad():
        outputs, _ = model(*given, state=begun)
    torch.testing.assert_close(results[0], outputs)
    assert subject.signature.streamable
