"""Nets of packages for music, speech, spikes and forecasts, which nobody prepared for export."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_ONNX, MODEL_PT
from rnn_export.capture import step
from rnn_export.errors import ModelError
from rnn_export.module.inspection import inspect_export
from rnn_export.signature.tree import tree_leaves
from tests.support.cases import sample
from tests.support.packages import Finder, file_of, found

ALL = {MODEL_ONNX, MODEL_PT, MODEL_C}
AROUND = (
    "asteroid.separate",
    "asteroid.utils.hub_utils",
    "asteroid.losses",
)  # a model of speech: its files, and where they are


@dataclass(frozen=True)
class Net:
    """A net of a package, its arguments for ``steps`` and ``batch``, and what becomes of it."""

    make: Callable[[], nn.Module]
    draw: Callable[[int, int], tuple[Any, ...]]
    streams: bool
    files: set[str]
    shortest: int = 1


class Spikes(nn.Module):
    """Leaky integrate-and-fire units, which keep named tuples, and others that read them out."""

    def __init__(self) -> None:
        super().__init__()
        lif, leaky = file_of("norse.torch.module.lif"), file_of("norse.torch.module.leaky_integrator")
        self.fc, self.lif = nn.Linear(10, 8), lif.LIFCell(dt=0.005)
        self.out = leaky.LILinearCell(8, 3, dt=0.005)

    def forward(self, x: Tensor) -> Tensor:
        units, readout, voltages = None, None, []
        for x_t in x:
            spikes, units = self.lif(10 * self.fc(x_t), units)
            voltage, readout = self.out(spikes, readout)
            voltages.append(voltage)
        return torch.stack(voltages)


class Potentials(nn.Module):
    """A net of layers with a state, in a loop over time steps: what it gives for each of them."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        state, voltages = None, []
        for x_t in x:
            voltage, state = self.net(x_t, state)
            voltages.append(voltage)
        return torch.stack(voltages)


class Largest(Potentials):
    """A classifier of spikes: the largest potential of each unit over all time steps."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.max(super().forward(x), 0).values


class Classifier(nn.Module):
    """The same, the loop in a submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.snn = Potentials(leaky())

    def forward(self, x: Tensor) -> Tensor:
        largest, _ = torch.max(self.snn(x), 0)
        return nn.functional.log_softmax(largest, 1)


class Block(nn.Module):
    """A block around a state of complex numbers, which comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.block = file_of("s5.s5_model", "scipy").S5Block(6, 8, bidir=False)

    def forward(self, x: Tensor, state: Tensor) -> Any:
        return self.block(x, state=state, return_state=True)


class StateSpace(nn.Module):
    """A state of complex numbers, step by step for the rows that torch.vmap takes one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm = file_of("s5.s5_model", "scipy").S5(6, 8).seq, nn.LayerNorm(6)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for t in range(x.shape[1]):
            y, state = torch.vmap(self.cell.forward_rnn)(self.norm(x[:, t]), state)
            outputs.append(y)
        return torch.stack(outputs, 1), state


class Scan(nn.Module):
    """The same state for all time steps, which are joined in pairs, and these in pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = file_of("s5.s5_model", "scipy").S5(6, 8)

    def forward(self, x: Tensor, state: Tensor) -> Any:
        return self.layer(x, state=state, return_state=True)


class Forecast(nn.Module):
    """The part of a forecaster that runs once for each time step."""

    def __init__(self) -> None:
        super().__init__()
        absent = ("pandas", "scipy", "tqdm", "gluonts.time_feature", "gluonts.model")
        module = file_of("gluonts.torch.model.deepar.module", *absent)
        self.model = module.DeepARModel("h", 5, 3, lags_seq=[1, 2], hidden_size=6, num_layers=2)

    def forward(self, x: Tensor, state: Any) -> Any:
        outputs, state = self.model.rnn(x, state)
        return self.model.param_proj(outputs), state


def in_turn(*layers: nn.Module) -> Any:
    return file_of("norse.torch.module.sequential").SequentialState(*layers)


def leaky() -> Any:
    """Units that leak, and others that read them out; each takes one time step."""
    lif, out = file_of("norse.torch.module.lif"), file_of("norse.torch.module.leaky_integrator")
    return in_turn(nn.Linear(10, 8), lif.LIFCell(dt=0.005), nn.Linear(8, 3), out.LICell(dt=0.005))


def adaptive() -> Any:
    """Recurrent units whose threshold begins with one and grows with each spike; each takes one time step."""
    lsnn, out = file_of("norse.torch.module.lsnn"), file_of("norse.torch.module.leaky_integrator")
    return in_turn(lsnn.LSNNRecurrentCell(10, 8, dt=0.005), nn.Linear(8, 3), out.LICell(dt=0.005))


def frames() -> Any:
    """Layers for whole sequences, with a convolution of each frame in front."""
    lift, lif = file_of("norse.torch.module.lift"), file_of("norse.torch.module.lif")
    lsnn = file_of("norse.torch.module.lsnn").LSNNRecurrent(8, 5, dt=0.005)
    units = lif.LIFRecurrent(4 * 4 * 4, 8, dt=0.005)
    return in_turn(lift.Lift(nn.Conv2d(2, 4, 3)), nn.Flatten(2), units, lsnn, nn.Linear(5, 3))


def amplifier() -> Any:
    module = file_of("nam.models.recurrent", "librosa", "wavio", "tqdm")
    return module.LSTM(6, num_layers=2)


def unmix(**options: Any) -> Any:
    return file_of("openunmix.model", "torchaudio").OpenUnmix(10, 2, hidden_size=8, **options)


def masker() -> Any:
    return file_of("asteroid.masknn.recurrent").LSTMMasker(4, 2, n_layers=2, hid_size=6, bidirectional=True)


def dual_path() -> Any:
    module = file_of("asteroid.masknn.recurrent")
    return module.DPRNN(4, 2, bn_chan=4, hid_size=4, chunk_size=6, n_repeats=1)


SAMPLES: dict[str, Any] = {"n_filters": 6, "kernel_size": 4, "stride": 2}  # of what takes samples


def dual_path_of_samples() -> Any:
    module = file_of("asteroid.models.dprnn_tasnet", *AROUND)
    return module.DPRNNTasNet(2, bn_chan=4, hid_size=4, chunk_size=6, n_repeats=1, **SAMPLES)


def masker_of_samples() -> Any:
    return file_of("asteroid.models.lstm_tasnet", *AROUND).LSTMTasNet(2, n_layers=2, hid_size=6, **SAMPLES)


def stabilized() -> Any:
    return file_of("pytorch_forecasting.layers._recurrent._slstm.layer").sLSTMLayer(4, 6, 2)


def forecasting() -> Any:
    return file_of("pytorch_forecasting.models.nn.rnn").LSTM(4, 6, num_layers=2, batch_first=True)


def rows_first(*sizes: int) -> Callable[[int, int], tuple[Any, ...]]:
    return lambda steps, batch: (torch.randn(batch, steps, *sizes),)


def time_first(*sizes: int, scale: float = 1.0) -> Callable[[int, int], tuple[Any, ...]]:
    return lambda steps, batch: (scale * torch.randn(steps, batch, *sizes),)


def time_last(*sizes: int) -> Callable[[int, int], tuple[Any, ...]]:
    return lambda steps, batch: (torch.rand(batch, *sizes, steps),)


def with_complex(steps: int, batch: int) -> tuple[Any, ...]:
    return torch.randn(batch, steps, 6), torch.zeros(batch, 8, dtype=torch.complex64)


def with_state(steps: int, batch: int) -> tuple[Any, ...]:
    size = Forecast().model.rnn.input_size
    return torch.randn(batch, steps, size), (torch.zeros(2, batch, 6), torch.zeros(2, batch, 6))


NETS = {
    "norse": Net(Spikes, time_first(10), streams=True, files=ALL),
    "norse, layers in turn": Net(
        lambda: Potentials(leaky()), time_first(10, scale=20), streams=True, files=ALL
    ),
    "norse, classifier": Net(Classifier, time_first(10, scale=20), streams=False, files=ALL),
    "norse, largest": Net(
        lambda: Largest(leaky()), time_first(10, scale=20), streams=False, files={MODEL_ONNX}
    ),
    "norse, adaptive": Net(
        lambda: Potentials(adaptive()),
        time_first(10, scale=20),
        streams=False,
        files={MODEL_ONNX, MODEL_C},
    ),
    "norse, frames": Net(frames, time_first(2, 6, 6, scale=10), streams=True, files={MODEL_ONNX, MODEL_C}),
    "s5": Net(StateSpace, with_complex, streams=True, files=ALL),
    "s5, in pairs": Net(Scan, with_complex, streams=True, files=ALL),
    "s5, block": Net(Block, with_complex, streams=True, files=ALL),
    "neural-amp-modeler": Net(amplifier, rows_first(), streams=True, files=ALL),
    "openunmix": Net(unmix, time_last(2, 10), streams=False, files=ALL),
    "openunmix, forward": Net(lambda: unmix(unidirectional=True), time_last(2, 10), streams=True, files=ALL),
    "asteroid, masker": Net(masker, time_last(4), streams=False, files=ALL),
    "asteroid, dual path": Net(dual_path, time_last(4), streams=False, files={MODEL_ONNX, MODEL_PT}),
    "asteroid, masker of samples": Net(masker_of_samples, time_last(), streams=False, files=ALL, shortest=4),
    "asteroid, dual path of samples": Net(
        dual_path_of_samples, time_last(), streams=False, files={MODEL_ONNX, MODEL_PT}, shortest=4
    ),
    "pytorch-forecasting": Net(forecasting, rows_first(4), streams=True, files=ALL),
    "pytorch-forecasting, sLSTM": Net(stabilized, time_first(4), streams=True, files=ALL),
    "gluonts": Net(Forecast, with_state, streams=True, files=ALL),
}


GIVE_THEIR_STATE = ("s5", "s5, in pairs", "pytorch-forecasting", "pytorch-forecasting, sLSTM", "gluonts")
QUICK = ("gluonts",)


def compare(model: nn.Module, args: tuple[Any, ...], signature: Any, session: Any) -> None:
    """Compare a file with a model that begins with its initial state."""
    with torch.no_grad():
        results = tree_leaves(model(*args))
    want = [torch.view_as_real(leaf) if leaf.is_complex() else leaf for leaf in results if leaf is not None]
    x, *_ = args
    starts = signature.initial_state(x.shape[signature.sequence.batch_axis])
    names = [leaf.name for leaf in signature.state]
    got = session.run(None, {signature.sequence.name: x.numpy(), **dict(zip(names, starts, strict=True))})
    for one, other in zip(got, want, strict=False):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*complex numbers:rnn_export.errors.ExportWarning")
@pytest.mark.parametrize("name", sample(GIVE_THEIR_STATE, *QUICK))
def test_its_time_step_is_captured(name: str) -> None:
    torch.manual_seed(0)
    net = NETS[name]
    model = net.make().eval()
    subject = inspect_export(model, net.draw(7, 3))
    session = onnxruntime.InferenceSession(step.capture(subject).proto().SerializeToString())
    compare(model, net.draw(11, 2), subject.signature, session)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore::rnn_export.errors.ExportWarning", "ignore:TorchScript will treat type")
@pytest.mark.parametrize("name", NETS)
def test_it_is_exported_as_it_is(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = NETS[name]
    model = net.make().eval()
    bundle = rnn_export.export(model, net.draw(max(7, 6 * net.shortest), 3), tmp_path / "b")
    assert bundle.signature.streamable == net.streams
    assert {*bundle.manifest.files} & ALL == net.files
    session = onnxruntime.InferenceSession(str(bundle.folder / MODEL_ONNX))
    for steps, batch in ((net.shortest, 1), (5, 4), (23, 2)):
        compare(model, net.draw(steps, batch), bundle.signature, session)


@pytest.mark.exhaustive
def test_a_parallel_scan_without_a_state_is_refused(tmp_path: Path) -> None:
    """It joins pairs of time steps, and pairs of these: no loop. Given a state it streams, see ``Block``."""
    model = file_of("s5.s5_model", "scipy").S5Block(6, 8, bidir=False).eval()
    with pytest.raises(ModelError, match=r"(?s)S5Block cannot be run step by step.*cannot be traced"):
        rnn_export.export(model, torch.randn(3, 7, 6), tmp_path / "b")
    assert not [*tmp_path.iterdir()]


def test_a_stand_in_that_is_called_raises() -> None:
    with found(Finder("package.file", ["absent"])):
        module = importlib.import_module("absent.somewhere")

        class Derived(module.Base):  # type: ignore[misc, name-defined]
            pass

    with pytest.raises(NotImplementedError, match=r"absent\.somewhere\.function is absent"):
        module.function(1)
    with pytest.raises(NotImplementedError, match=r"its stand-in was called"):
        Derived()
    assert not [name for name in sys.modules if name.partition(".")[0] == "absent"]
