"""The one table of models that every layer is tried on. A new model is one line here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from rnn_export.models import (
    BidirectionalScratch,
    CharRNN,
    DeepRNNScratch,
    GRUScratch,
    LSTMScratch,
    RNNScratch,
)
from tests import nets, notebook

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ModelCase:
    """How to make a model, and what one call of it takes: a state, or the model's own initial one."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], torch.Tensor]
    state: Any = None
    streamable: bool = True

    def build(self) -> tuple[nn.Module, tuple[torch.Tensor, Any]]:
        """Make the model, no weight or bias of it zero, and its example."""
        torch.manual_seed(7)
        model = self.make()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * min(0.4, parameter.shape[0] ** -0.5))
        inputs = self.inputs()
        state = model.begin_state(inputs.shape[1], CPU) if self.state is None else self.state
        return model.eval(), (inputs, state)


def floats(*shape: int, dtype: torch.dtype = torch.float32) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(*shape, dtype=dtype)


def tokens(*shape: int, below: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randint(below, shape)


CASES = [
    ModelCase("notebook", lambda: notebook.RNNScratch(4, 6, 3), floats(9, 3, 4)),
    ModelCase("rnn", lambda: RNNScratch(4, 6, 3), floats(9, 3, 4)),
    ModelCase("gru", lambda: GRUScratch(4, 6, 3), floats(9, 3, 4)),
    ModelCase("lstm", lambda: LSTMScratch(4, 6, 3), floats(9, 3, 4)),
    ModelCase("rnn_float64", lambda: RNNScratch(4, 6, 3).double(), floats(9, 3, 4, dtype=torch.float64)),
    ModelCase("lstm_float64", lambda: LSTMScratch(4, 6, 3).double(), floats(9, 3, 4, dtype=torch.float64)),
    ModelCase("one_unit", lambda: RNNScratch(1, 1, 1), floats(1, 1, 1)),
    ModelCase("wide", lambda: GRUScratch(3, 70, 5), floats(20, 2, 3)),
    ModelCase("deep_rnn", lambda: DeepRNNScratch(RNNScratch(4, 6, 5), RNNScratch(5, 4, 2)), floats(8, 2, 4)),
    ModelCase(
        "deep_mixed",
        lambda: DeepRNNScratch(GRUScratch(4, 6, 5), LSTMScratch(5, 4, 3), RNNScratch(3, 5, 2)),
        floats(8, 2, 4),
    ),
    ModelCase(
        "bidirectional",
        lambda: BidirectionalScratch(GRUScratch(4, 6, 3), LSTMScratch(4, 5, 2)),
        floats(9, 3, 4),
        streamable=False,
    ),
    ModelCase(
        "deep_bidirectional",
        lambda: DeepRNNScratch(
            BidirectionalScratch(RNNScratch(4, 6, 3), RNNScratch(4, 6, 3)), GRUScratch(6, 4, 2)
        ),
        floats(9, 3, 4),
        streamable=False,
    ),
    ModelCase("char_rnn", lambda: CharRNN(11, GRUScratch(11, 8, 11)), tokens(9, 3, below=11)),
    ModelCase(
        "char_deep",
        lambda: CharRNN(7, DeepRNNScratch(LSTMScratch(7, 8, 6), RNNScratch(6, 5, 7))),
        tokens(9, 3, below=7),
    ),
    ModelCase("tensor_state", lambda: nets.TensorState(5), floats(9, 3, 5), state=torch.zeros(3, 5)),
    ModelCase("list_state", nets.ListState, floats(9, 3, 4), state=[torch.zeros(3, 4, 2), torch.zeros(3, 4)]),
    ModelCase("layers_first", lambda: nets.LayersFirst(4, 5), floats(9, 3, 4), state=torch.zeros(2, 3, 5)),
    ModelCase("starts_elsewhere", lambda: nets.StartsElsewhere(5), floats(9, 3, 5)),
    ModelCase(
        "looks_ahead",
        lambda: nets.LooksAhead(RNNScratch(4, 6, 3)),
        floats(9, 3, 4),
        state=(torch.zeros(3, 6),),
        streamable=False,
    ),
]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
