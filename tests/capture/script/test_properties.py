"""A property that cannot be read, as that of a trainer outside of a training, is no obstacle."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.capture.script.properties import readable
from rnn_export.capture.script.script import script, script_step
from rnn_export.errors import ScriptError
from rnn_export.module.reading import inspect_module


class Untrained(nn.Module):
    """As frameworks for training have it: the trainer is known in a training alone."""

    @property
    def trainer(self) -> int:
        raise RuntimeError("not attached to a trainer")

    @property
    def layers(self) -> int:
        return 1


class OneWay(Untrained):
    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for x_t in x:
            h = torch.tanh(self.i(x_t) + self.h(h))
            out.append(h)
        return torch.stack(out), h


class Inside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = OneWay()

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.net(x, h)


class NeedsTrainer(OneWay):
    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x, h * self.trainer)


EXAMPLE = torch.linspace(-1, 1, 72).view(6, 3, 4), torch.zeros(3, 5)


@pytest.mark.parametrize("kind", [OneWay, Inside])
def test_it_is_compiled_and_traced(kind: type[nn.Module]) -> None:
    subject = inspect_module(kind().eval(), EXAMPLE)
    for module in (script(subject), script_step(subject)):
        for got, expected in zip(module(*EXAMPLE), subject.model(*EXAMPLE), strict=True):
            torch.testing.assert_close(got, expected)


def test_the_class_is_hidden_for_a_while_only() -> None:
    model = Inside()
    with readable(model):
        assert model.net.trainer is None
        assert model.net.layers == 1
        assert (type(model.net).__qualname__, type(model.net).__module__) == ("OneWay", __name__)
    assert type(model.net) is OneWay
    with pytest.raises(RuntimeError, match="not attached"):
        model.net.trainer  # noqa: B018


def test_all_files_are_written(tmp_path: Path) -> None:
    bundle = rnn_export.export(OneWay().eval(), EXAMPLE, tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c", "variants/loop.onnx"} <= {*bundle.manifest.files}
    assert bundle.manifest.model["class"] == f"{__name__}.OneWay"


def test_what_cannot_be_read_and_is_used_is_an_error() -> None:
    with pytest.raises((ScriptError, rnn_export.errors.InputError), match="trainer"):
        inspect_module(NeedsTrainer().eval(), EXAMPLE)
