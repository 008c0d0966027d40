"""``int`` and ``float`` of a size leave it free where a trace would keep the number."""

import pytest
import torch
from torch import Tensor, nn

from rnn_export.capture import traceable
from rnn_export.capture.free_numbers import NUMBERS, asks_for_numbers


class Asks(nn.Module):
    """Makes numbers of sizes, and of what is none."""

    def forward(self, *tensors: Tensor) -> Tensor:
        [x] = tensors
        rows = int(x.shape[0])
        assert isinstance(rows, int)
        assert type(x.dim()) == int  # noqa: E721
        return x.reshape(rows, -1) / float(x.shape[1]) * int("2") * float(3)


class DoesNot(nn.Module):
    """Makes none."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1)


def test_who_asks_is_known() -> None:
    assert asks_for_numbers(nn.Sequential(Asks()))
    assert not asks_for_numbers(nn.Sequential(DoesNot()))


def test_sizes_are_free_in_a_trace() -> None:
    free = [dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)]
    x, other = torch.randn(3, 4, 2), torch.randn(5, 7, 2)
    traced = traceable.trace(Asks(), (x,), free, numbers=True)
    torch.testing.assert_close(traced.module(check_guards=False)(other), Asks()(other))
    with pytest.raises(Exception, match=r"[Cc]onstraints? violated"):
        traceable.trace(Asks(), (x,), free)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_sizes_are_free_in_torchscript() -> None:
    x, other = torch.randn(3, 4, 2), torch.randn(5, 7, 2)
    torch.testing.assert_close(traceable.scripted(Asks(), (x,), numbers=True)(other), Asks()(other))
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        traceable.scripted(Asks(), (x,))(other)


def test_they_are_what_they_stand_for() -> None:
    whole, real = NUMBERS["int"], NUMBERS["float"]
    assert (whole("7"), real("0.5"), whole(), whole("ff", 16)) == (7, 0.5, 0, 255)
    assert isinstance(3, whole)
    assert not isinstance(3.0, whole)
    assert {int: "int"}[whole] == "int"
