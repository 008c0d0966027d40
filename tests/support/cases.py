"""The one table of models that every layer is tried on. A new model is one line here."""

from collections.abc import Callable, Sequence
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
from tests.support import nets, notebook

CPU = torch.device("cpu")


@dataclass(frozen=True)
class CallCase:
    """A way in which people write ``forward``: the module, its example, and what a call of the files is."""

    name: str
    make: Callable[[], nn.Module]
    example: Callable[[], Any]
    inputs: str
    state: tuple[str, ...]
    outputs: str
    streamable: bool = True
    step: bool = False

    def build(self) -> tuple[nn.Module, Any]:
        """Make the model, no weight or bias of it zero, and its example."""
        torch.manual_seed(7)
        return randomized(self.make()).eval(), self.example()


def randomized(model: nn.Module) -> nn.Module:
    """Give every parameter random numbers, small enough for a net that is not chaotic."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * min(0.4, parameter.shape[0] ** -0.5))
    return model


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
        model = randomized(self.make())
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


# What `make test` tries of the cases above and below: one of each kind. `make test-exhaustive` tries all.
DAILY = {
    *("rnn", "lstm", "deep_mixed", "bidirectional", "char_rnn", "list_state", "starts_elsewhere"),
    *("rnn_float64", "one_unit", "notebook"),
    *("optional_state", "torch_gru_deep", "tagger", "classifier", "step", "state_within"),
    *("torch_lstm_cell", "torch_bidirectional"),
}


def sample(values: Sequence[Any], *quick: str) -> list[Any]:
    """Give cases, or their names, as parameters: `make test` tries those that are named.

    What runs long for each case, and seldom differs between them, is tried on a few of them day by day,
    which need not be those of ``DAILY``.
    """
    names = [value if isinstance(value, str) else value.name for value in values]
    assert {*quick} <= {*names}
    return [
        pytest.param(value, id=name, marks=pytest.mark.daily if name in quick else pytest.mark.exhaustive)
        for value, name in zip(values, names, strict=True)
    ]


each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

X, ROWS_FIRST = floats(9, 3, 4), floats(3, 9, 4)

CALL_CASES = [
    CallCase(
        "textbook",
        nets.Textbook,
        lambda: (X(), (torch.zeros(3, 6),)),
        "[time, batch, 4]",
        ("[batch, 6]",),
        "[time, batch, 6]",
    ),
    CallCase(
        "optional_state",
        nets.OptionalState,
        lambda: (X(), None),
        "[time, batch, 4]",
        ("[batch, 6]",),
        "[batch, 2]",
    ),
    CallCase("state_left_out", nets.OptionalState, X, "[time, batch, 4]", ("[batch, 6]",), "[batch, 2]"),
    CallCase(
        "torch_rnn",
        lambda: nn.RNN(4, 6, 2, nonlinearity="relu"),
        X,
        "[time, batch, 4]",
        ("[2, batch, 6]",),
        "[time, batch, 6]",
    ),
    CallCase(
        "torch_gru", lambda: nn.GRU(4, 6), X, "[time, batch, 4]", ("[1, batch, 6]",), "[time, batch, 6]"
    ),
    CallCase(
        "torch_gru_deep",
        lambda: nn.GRU(4, 6, 2, bias=False, dropout=0.5),
        lambda: (X(), torch.zeros(2, 3, 6)),
        "[time, batch, 4]",
        ("[2, batch, 6]",),
        "[time, batch, 6]",
    ),
    CallCase(
        "torch_lstm_rows_first",
        lambda: nn.LSTM(4, 6, 2, batch_first=True),
        ROWS_FIRST,
        "[batch, time, 4]",
        ("[2, batch, 6]", "[2, batch, 6]"),
        "[batch, time, 6]",
    ),
    CallCase(
        "torch_lstm_projected",
        lambda: nn.LSTM(4, 6, proj_size=2),
        X,
        "[time, batch, 4]",
        ("[1, batch, 2]", "[1, batch, 6]"),
        "[time, batch, 2]",
    ),
    CallCase(
        "torch_lstm_float64",
        lambda: nn.LSTM(4, 6).double(),
        floats(9, 3, 4, dtype=torch.float64),
        "[time, batch, 4]",
        ("[1, batch, 6]", "[1, batch, 6]"),
        "[time, batch, 6]",
    ),
    CallCase(
        "as_many_steps_as_rows",
        lambda: nn.GRU(4, 6),
        floats(3, 3, 4),
        "[time, batch, 4]",
        ("[1, batch, 6]",),
        "[time, batch, 6]",
    ),
    CallCase(
        "tagger",
        lambda: nets.Tagger(nn.LSTM(5, 6, batch_first=True)),
        tokens(3, 9, below=11),
        "[batch, time]",
        ("[1, batch, 6]", "[1, batch, 6]"),
        "[batch, time, 3]",
    ),
    CallCase(
        "classifier",
        lambda: nets.Classifier(nn.GRU(4, 6, batch_first=True)),
        ROWS_FIRST,
        "[batch, time, 4]",
        ("[1, batch, 6]",),
        "[batch, 3]",
    ),
    CallCase(
        "parallel_in_training",
        lambda: nets.MinGRU(4, 6),
        lambda: (ROWS_FIRST(), torch.zeros(3, 1, 6)),
        "[batch, time, 4]",
        ("[batch, 1, 6]",),
        "[batch, time, 6]",
    ),
    CallCase(
        "torch_rnn_cell",
        lambda: nn.RNNCell(4, 6),
        floats(3, 4),
        "[time, batch, 4]",
        ("[batch, 6]",),
        "[time, batch, 6]",
        step=True,
    ),
    CallCase(
        "torch_lstm_cell",
        lambda: nn.LSTMCell(4, 6),
        floats(3, 4),
        "[time, batch, 4]",
        ("[batch, 6]", "[batch, 6]"),
        "[time, batch, 6]",
        step=True,
    ),
    CallCase(
        "step",
        nets.Step,
        lambda: (floats(3, 4)(), (torch.zeros(3, 6), torch.zeros(3, 6))),
        "[time, batch, 4]",
        ("[batch, 6]", "[batch, 6]"),
        "[time, batch, 2]",
        step=True,
    ),
    CallCase(
        "outputs_alone",
        nets.OutputsAlone,
        lambda: (X(), torch.zeros(3, 4)),
        "[time, batch, 4]",
        ("[batch, 4]",),
        "[time, batch, 4]",
        streamable=False,
    ),
    CallCase("state_within", nets.StateWithin, X, "[time, batch, 4]", ("[batch, 4]",), "[time, batch, 4]"),
    CallCase(
        "torch_bidirectional",
        lambda: nn.LSTM(4, 6, bidirectional=True),
        X,
        "[time, batch, 4]",
        ("[2, batch, 6]", "[2, batch, 6]"),
        "[time, batch, 12]",
        streamable=False,
    ),
]

each_call_case = pytest.mark.parametrize("case", CALL_CASES, ids=lambda case: case.name)

FOLDS = [case for case in CASES if case.streamable]
each_fold = pytest.mark.parametrize("case", FOLDS, ids=lambda case: case.name)

# Why a case has no C.
NO_C = {
    "rnn_float64": "its numbers are float64",
    "lstm_float64": "its numbers are float64",
    "torch_lstm_float64": "its numbers are float64",
    "looks_ahead": "reduces over the rows of a batch, or over time steps",
}
COMPILED = [case for case in [*CASES, *CALL_CASES] if case.name not in NO_C]
each_compiled = pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)


# A net of 1.3 million parameters: in C, its numbers stand in a file of their own.
LARGE = ModelCase("large", lambda: CharRNN(1100, LSTMScratch(1100, 64, 8)), tokens(3, 2, below=1100))


def the(name: str) -> ModelCase | CallCase:
    """Give a case by its name."""
    return next(case for case in [*CASES, *CALL_CASES, LARGE] if case.name == name)
