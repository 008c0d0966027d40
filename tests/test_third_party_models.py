"""Models of other packages, as their tutorials build them: loops that no compiler takes, and they stream."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import snntorch
import torch
from mambapy.mamba import Mamba, MambaConfig
from ncps.torch import LTC, CfC
from ncps.wirings import AutoNCP
from torch import Tensor, nn

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.signature.tree import tree_leaves


class Leaky(nn.Module):
    """Two layers of spiking units."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(10, 8), nn.Linear(8, 3)
        self.lif1, self.lif2 = snntorch.Leaky(beta=0.95), snntorch.Leaky(beta=0.95)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        one, two = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, potentials = [], []
        for step in range(x.size(0)):
            spike, one = self.lif1(self.first(x[step]), one)
            spike, two = self.lif2(self.second(spike), two)
            spikes.append(spike)
            potentials.append(two)
        return torch.stack(spikes), torch.stack(potentials)


class Synaptic(nn.Module):
    """Units with a current of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.lif = nn.Linear(10, 8), snntorch.Synaptic(alpha=0.9, beta=0.8)

    def forward(self, x: Tensor) -> Tensor:
        current, potential = self.lif.init_synaptic()
        outputs = []
        for step in range(x.size(0)):
            _, current, potential = self.lif(self.first(x[step]), current, potential)
            outputs.append(potential)
        return torch.stack(outputs)


class Recurrent(nn.Module):
    """Units whose spikes come back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.lif = nn.Linear(10, 8), snntorch.RLeaky(beta=0.9, linear_features=8)

    def forward(self, x: Tensor) -> Tensor:
        spike, potential = self.lif.init_rleaky()
        outputs = []
        for step in range(x.size(0)):
            spike, potential = self.lif(self.first(x[step]), spike, potential)
            outputs.append(potential)
        return torch.stack(outputs)


class StateSpace(nn.Module):
    """The recurrent form of a selective state space model, its caches in a list of tuples."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Mamba(MambaConfig(d_model=8, n_layers=1, d_state=4))

    def forward(self, x: Tensor, caches: list[tuple[Tensor, Tensor]]) -> Any:
        outputs, caches = [], list(caches)
        for t in range(x.size(1)):
            y, caches = self.model.step(x[:, t], caches)
            outputs.append(y)
        return torch.stack(outputs, 1), caches


def time_first(steps: int, batch: int) -> tuple[Any, ...]:
    return (torch.randn(steps, batch, 10),)


def with_caches(steps: int, batch: int) -> tuple[Any, ...]:
    return torch.randn(batch, steps, 8), [(torch.zeros(batch, 16, 4), torch.zeros(batch, 16, 3))]


def features(steps: int, batch: int) -> tuple[Any, ...]:
    return (torch.randn(batch, steps, 4),)


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:No golden vector:rnn_export.errors.ExportWarning")
@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (Leaky, time_first),
        pytest.param(Synaptic, time_first, marks=pytest.mark.exhaustive),
        pytest.param(Recurrent, time_first, marks=pytest.mark.exhaustive),
        pytest.param(StateSpace, with_caches, marks=pytest.mark.exhaustive),
        pytest.param(lambda: CfC(4, AutoNCP(8, 2)), features, id="closed form", marks=pytest.mark.exhaustive),
        pytest.param(
            lambda: LTC(4, AutoNCP(8, 2)), features, id="time constants", marks=pytest.mark.exhaustive
        ),
    ],
)
def test_a_model_of_another_package_streams(
    make: Callable[[], nn.Module], draw: Callable[[int, int], tuple[Any, ...]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = make().eval()
    bundle = rnn_export.export(model, draw(7, 3), tmp_path / "b")
    signature = bundle.signature
    assert signature.streamable
    assert {MODEL_C, MODEL_PT} <= bundle.manifest.files.keys()
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    for steps, batch in ((1, 1), (5, 4), (23, 2)):
        x, *_ = args = draw(steps, batch)
        with torch.no_grad():
            want = [leaf.numpy() for leaf in tree_leaves(model(*args))]
        starts = zip([leaf.name for leaf in signature.state], signature.initial_state(batch), strict=True)
        feeds = {signature.sequence.name: x.numpy(), **dict(starts)}
        names = signature.output_names[: len(signature.outputs)]
        for one, other in zip(session.run(names, feeds), want, strict=False):
            np.testing.assert_allclose(one, other, atol=1e-5)
