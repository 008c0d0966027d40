"""The nets and calls that are timed, and how fast the C that is written for them is asked to be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rnn_export.models import GRUScratch, LSTMScratch, RNNScratch

CPU = torch.device("cpu")
# What C is asked to be faster than.
BEST, JAX, SESSION, OPERATOR = "best other", "JAX", "ONNX Runtime", "ONNX Runtime's operator"


@dataclass(frozen=True)
class Shape:
    """A net and a call of it; ``asked`` says how many times as fast C has to be as what."""

    cell: type[nn.Module]
    inputs: int
    hidden: int
    outputs: int
    steps: int
    batch: int
    asked: tuple[tuple[float, str], ...] = ()

    @property
    def sizes(self) -> str:
        """The net's sizes, for a person."""
        return f"{self.cell.__name__.removesuffix('Scratch')} {self.inputs}-{self.hidden}-{self.outputs}"

    @property
    def labels(self) -> list[str]:
        """What a row begins with."""
        return [self.sizes, str(self.steps), str(self.batch)]

    def net(self) -> nn.Module:
        """Make the net; its recurrent matrix has a spectral radius of about a half, the seed's its own."""
        torch.manual_seed(0)
        seeds = (self.cell, self.inputs, self.hidden, self.outputs) == (RNNScratch, 16, 32, 1)
        sigma = 0.01 if seeds else 0.5 * self.hidden**-0.5
        net = self.cell(self.inputs, self.hidden, self.outputs, sigma=sigma)
        return net.eval().requires_grad_(False)

    def example(self, net: nn.Module) -> tuple[torch.Tensor, Any]:
        """Make the arguments of one call."""
        torch.manual_seed(1)
        begin_state: Callable[..., Any] = net.begin_state  # type: ignore[assignment]
        return torch.randn(self.steps, self.batch, self.inputs), begin_state(self.batch, CPU)

    @property
    def operations(self) -> int:
        """The additions and multiplications of the matrix products of a call."""
        weights = sum(matrix.numel() for matrix in self.net().parameters() if matrix.dim() == 2)
        return 2 * weights * self.steps * self.batch


def _best(times: float) -> tuple[tuple[float, str], ...]:
    return ((times, BEST),)


def _operator(times: float) -> tuple[tuple[float, str], ...]:
    return ((times, OPERATOR),)


SHAPES = [
    Shape(RNNScratch, 16, 32, 1, 100, 2, _best(9)),
    Shape(RNNScratch, 16, 32, 1, 1000, 1, ((6, JAX), (11, SESSION))),
    Shape(RNNScratch, 16, 32, 1, 1, 1, ((50, SESSION),)),
    Shape(RNNScratch, 16, 32, 1, 100, 16),
    Shape(RNNScratch, 16, 32, 1, 100, 64, _best(1.6)),
    Shape(RNNScratch, 32, 64, 32, 35, 32, _best(1.3)),
    Shape(RNNScratch, 64, 128, 1, 100, 1),
    Shape(RNNScratch, 64, 256, 64, 100, 1, _best(1.3)),
    Shape(RNNScratch, 64, 256, 64, 100, 16, _best(1.0)),
    Shape(RNNScratch, 128, 512, 128, 100, 64, _best(0.95)),
    Shape(GRUScratch, 16, 32, 1, 100, 1, _operator(2.5)),
    Shape(GRUScratch, 16, 32, 1, 100, 2),
    Shape(GRUScratch, 64, 128, 1, 100, 1, _operator(1.3)),
    Shape(GRUScratch, 64, 128, 1, 100, 16, _operator(1.0)),
    Shape(LSTMScratch, 16, 32, 1, 100, 1, _operator(2)),
    Shape(LSTMScratch, 16, 32, 1, 100, 2),
    Shape(LSTMScratch, 64, 128, 1, 100, 1, _operator(1.2)),
    Shape(LSTMScratch, 64, 128, 1, 100, 16, _operator(1.0)),
]
FORM_SHAPES = [
    Shape(RNNScratch, 16, 32, 1, 100, 2),
    Shape(RNNScratch, 16, 32, 1, 100, 16),
    Shape(RNNScratch, 64, 128, 1, 100, 1),
    Shape(RNNScratch, 64, 128, 1, 100, 64),
    Shape(GRUScratch, 16, 32, 1, 100, 2),
    Shape(GRUScratch, 64, 128, 1, 100, 16),
    Shape(GRUScratch, 64, 128, 1, 100, 64),
    Shape(LSTMScratch, 16, 32, 1, 100, 64),
    Shape(LSTMScratch, 64, 128, 1, 100, 16),
    Shape(LSTMScratch, 64, 128, 1, 100, 64),
]
