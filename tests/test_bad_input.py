"""Every bad input of an export is named, and nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import InputError, ModelError, RnnExportError
from rnn_export.models import RNNScratch
from tests.support.cases import CPU, ModelCase


def net() -> RNNScratch:
    return RNNScratch(4, 6, 3).eval()


class Returning(nn.Module):
    """Returns whatever a function makes of the outputs and the state."""

    def __init__(self, change: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.net, self.change = net(), change

    def forward(self, inputs, state):
        return self.change(*self.net(inputs, state))


class Indifferent(nn.Module):
    """Takes and returns any state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, inputs, state):
        return inputs * self.weight, state


class Pointwise(nn.Module):
    """Has no state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, inputs):
        return inputs * self.weight


def mixed() -> nn.Module:
    model = net()
    model.b_q = nn.Parameter(model.b_q.double())
    return model


X, H = torch.zeros(9, 3, 4), torch.zeros(3, 6)
BAD: dict[str, tuple[Any, Any, type[RnnExportError], str]] = {
    "not a module": ("model", (X, (H,)), ModelError, "expected a torch.nn.Module, got str. Pass an instance"),
    "no example": (net(), None, InputError, r"expected \(inputs, state\), or inputs .*, got NoneType"),
    "example of three": (
        net(),
        (X, H, H),
        InputError,
        r"RNNScratch failed on \(float32 \[9, 3, 4\], .*Pass an example .*: export\(model, args",
    ),
    "numpy example": (net(), (X.numpy(), (H,)), InputError, r"expected tensors, got an array, float32 .9, 3"),
    "state of numbers": (net(), (X, (0.0,)), InputError, r"failed on .*, \(float\)\): .*Pass an example"),
    "state of another batch": (
        net(),
        (X, (torch.zeros(2, 6),)),
        InputError,
        r"'state': expected .*\[3, 6\]\) as begin_state\(3, device\) gives, got \(float32 \[2, 6\]\)",
    ),
    "state of another rank": (
        net(),
        (X, (H[None],)),
        InputError,
        r"expected .float32 \[3, 6\]. .*got .float32 \[1, 3, 6\]",
    ),
    "state of another dtype": (
        net(),
        (X, (H.double(),)),
        InputError,
        r"expected float32, the dtype of the parameters, got float64 \[3, 6\]. Convert it",
    ),
    "state of two": (
        net(),
        (X, (H, H)),
        InputError,
        r"expected \(float32 \[3, 6\]\) as .* gives, got \(float32 \[3, 6\], ",
    ),
    "state of none": (net(), (X, ()), InputError, r"as begin_state\(3, device\) gives, got \(\). Make"),
    "bare state": (
        net(),
        (X, H),
        InputError,
        r"RNNScratch failed on inputs .*Pass an example that model",
    ),
    "state without begin_state": (
        Returning(lambda outputs, state: (outputs, state)),
        (X, (torch.zeros(2, 6),)),
        InputError,
        r"expected an axis of the inputs' batch, 3, in each tensor, got \(float32 \[2, 6\]\)",
    ),
    "state of two batch axes": (
        Indifferent(),
        (X, torch.zeros(3, 3)),
        InputError,
        r"expected one axis .* to be the inputs' batch, 3, got float32 \[3, 3\], where several can be it",
    ),
    "time like batch": (
        Pointwise(),
        torch.zeros(3, 3, 4),
        InputError,
        r"to see which axis is time and which is batch, got float32 \[3, 3, 4\], where several fit. Pass an",
    ),
    "one length only": (
        Returning(lambda outputs, state: (outputs.reshape(9, 3, 3), state)),
        (X, (H,)),
        ModelError,
        "one more time step is too many. Returning failed on inputs float32 .10, 3, 4.",
    ),
    "inputs of rank 2": (
        net(),
        (X[0], (H,)),
        InputError,
        r"expected an axis for time and one for the batch, got float32 \[3, 4\], .*inputs\[:, None\]",
    ),
    "inputs of float64": (net(), (X.double(), (H,)), InputError, r"expected float32 .*, got float64"),
    "tokens of rank 1": (
        net(),
        (X[0, 0].long(), (H,)),
        InputError,
        r"expected \(float32 \[4, 6\]\) as begin_state\(4, device\) gives, got \(float32 \[3, 6\]\)",
    ),
    "tokens of int32": (
        net(),
        (X[..., 0].int(), (H,)),
        InputError,
        r"token ids int64 .*, got int32 \[9, 3\]",
    ),
    "no time steps": (net(), (X[:0], (H,)), InputError, r"got float32 \[0, 3, 4\]"),
    "other features": (
        net(),
        (torch.zeros(9, 3, 5), (H,)),
        InputError,
        r"failed on inputs float32 \[9, 3, 5\], state .*Pass an example",
    ),
    "mixed dtypes": (
        mixed(),
        (X, (H,)),
        ModelError,
        "expected one dtype, .*got float32, float64. Convert it",
    ),
    "nothing": (
        Returning(lambda outputs, state: None),
        (X, (H,)),
        ModelError,
        r"expected \(outputs, state\), got NoneType. Return \(outputs, state\)",
    ),
    "outputs summed over rows": (
        Returning(lambda outputs, state: (outputs.sum(1), state)),
        (X, (H,)),
        ModelError,
        r"outputs of forward\(\): expected an axis for the batch, 3, .*got float32 \[9, 3\]",
    ),
}


@pytest.mark.parametrize(("model", "example", "error", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_and_nothing_written(
    model: Any, example: Any, error: type[RnnExportError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        rnn_export.export(model, example, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_an_existing_bundle_outlives_bad_input(rnn: ModelCase, tmp_path: Path) -> None:
    model, (inputs, state) = rnn.build()
    bundle = rnn_export.export(model, (inputs, state), tmp_path / "bundle")
    with pytest.raises(InputError):
        rnn_export.export(model, (inputs[0], state), bundle.folder, overwrite=True)
    assert Bundle.open(bundle.folder).manifest == bundle.manifest


def test_an_existing_folder_is_refused_before_any_work(rnn: ModelCase, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(RnnExportError, match=r"pass overwrite=True \(--overwrite\)"):
        rnn_export.export(None, None, tmp_path / "bundle")  # type: ignore[arg-type]


def test_a_module_that_cannot_be_copied_is_named(tmp_path: Path) -> None:
    model = net()
    model.handle = (step for step in range(3))
    with pytest.raises(ModelError, match=r"RNNScratch cannot be copied: .*generator.* copy.deepcopy"):
        rnn_export.export(model, (X, (H,)), tmp_path / "bundle")


def test_a_begin_state_of_other_parameters_is_named(tmp_path: Path) -> None:
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def begin_state(self):
            return self.net.begin_state(1, CPU)

        def forward(self, inputs, state):
            return self.net(inputs, state)

    with pytest.raises(
        ModelError, match=r"begin_state\(3, device\) of Other failed: .*begin_state\(batch_size, device\)"
    ):
        rnn_export.export(Other(), (X, (H,)), tmp_path / "bundle")
