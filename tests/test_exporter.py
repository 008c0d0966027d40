"""From a module to a bundle, and every bad input named with nothing written."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import ExportWarning, InputError, ModelError, RnnExportError
from rnn_export.models import RNNScratch
from rnn_export.module.subject import inspect_module
from rnn_export.verification import grid
from tests.support.cases import CASES, CPU, ModelCase, sample
from tests.support.exports import Exported


@pytest.mark.parametrize(
    "case", sample(CASES, "rnn", "deep_mixed", "bidirectional", "char_rnn", "list_state")
)
def test_the_model_is_not_touched(case: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.verification.grid.build", stop)
    model, example = case.build()
    model.train().requires_grad_(True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.random.get_rng_state()
    with pytest.raises(ModelError, match="StopIteration"):
        rnn_export.export(model, example, tmp_path / "bundle")
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not list(tmp_path.iterdir())


def stop(*_: object) -> None:
    raise StopIteration


@pytest.mark.parametrize("case", sample(CASES, "rnn", "deep_mixed"))
def test_a_bundle_is_the_same_bytes_each_time(case: ModelCase, exported: Exported, tmp_path: Path) -> None:
    again = rnn_export.export(*case.build(), tmp_path / "bundle", name=case.name)
    assert again.manifest == exported(case).manifest


def test_nothing_is_said_that_the_user_cannot_change(
    rnn: ModelCase, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rnn_export.export(*rnn.build(), tmp_path / "bundle")
    assert not caught
    assert capfd.readouterr() == ("", "")


def test_progress_is_told(rnn: ModelCase, tmp_path: Path) -> None:
    told: list[str] = []
    rnn_export.export(*rnn.build(), tmp_path / "b", progress=lambda stage, done, total: told.append(stage))
    assert told[0] == "Scripting the module"
    assert "Verified variants/loop.onnx in onnxruntime" in told


def test_the_time_an_export_takes_grows_with_neither_time_nor_batch(rnn: ModelCase) -> None:
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = rnn.build()[0]
            self.seen = []

        def forward(self, inputs, state):
            self.seen.append(inputs.shape[:2])
            return self.net(inputs, state)

    for time, batch in ((5000, 2), (2, 5000)):
        subject = inspect_module(Counting(), (torch.zeros(time, batch, 4), (torch.zeros(batch, 6),)))
        seen = subject.model.seen
        assert max(steps for steps, _ in seen) <= 17
        assert max(subject.inputs.shape[:2]) <= 16
        assert (subject.steps, subject.batch) == (time, batch)
        assert max(case.time for case in grid.build(subject).cases) <= max(steps for steps, _ in grid.FAR)


def test_metadata_and_name_travel_with_the_model(rnn: ModelCase, tmp_path: Path) -> None:
    import onnx

    bundle = rnn_export.export(*rnn.build(), tmp_path / "b", name="thermostat", metadata={"unit": "°C"})
    assert (bundle.manifest.name, bundle.manifest.metadata) == ("thermostat", {"unit": "°C"})
    model = onnx.load(bundle.folder / "model.onnx")
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["rnn_export.metadata.unit"] == "°C"
    assert model.graph.name == "thermostat"
    assert Bundle.open(bundle.folder).manifest == bundle.manifest


def test_parameters_may_be_called_like_the_inputs(tmp_path: Path) -> None:
    class Unlucky(nn.Module):
        def __init__(self):
            super().__init__()
            self.inputs = nn.Parameter(torch.randn(3, 3) * 0.5)
            self.state_0 = nn.Parameter(torch.randn(3, 3) * 0.5)
            self.outputs = nn.Parameter(torch.randn(3))

        def forward(self, inputs, state):
            outputs = []
            for X in inputs:
                state = torch.tanh(X @ self.inputs + state @ self.state_0)
                outputs.append(state + self.outputs)
            return torch.stack(outputs), state

    bundle = rnn_export.export(Unlucky(), (torch.randn(6, 2, 3), torch.zeros(2, 3)), tmp_path / "b")
    assert bundle.signature.streamable


def test_a_state_that_is_not_read_is_still_an_input(tmp_path: Path) -> None:
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, inputs, state):
            outputs = []
            for X in inputs:
                state = torch.tanh(self.layer(X))
                outputs.append(state)
            return torch.stack(outputs), state

    bundle = rnn_export.export(Forgetful(), (torch.randn(6, 2, 3), torch.zeros(2, 3)), tmp_path / "b")
    runner = rnn_export.load(bundle.folder)
    _, (last,) = runner(torch.randn(6, 2, 3).numpy())
    assert last.shape == (2, 3)


# --- warnings ---------------------------------------------------------------------------------------------


class WithDropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.net = RNNScratch(4, 6, 3, sigma=0.5)

    def forward(self, inputs, state: tuple[torch.Tensor]):
        return self.net(self.dropout(inputs), state)


def test_dropout_in_training_mode_is_exported_in_eval_mode_and_said(tmp_path: Path) -> None:
    model = WithDropout()
    example = (torch.randn(9, 2, 4), model.net.begin_state(2, CPU))
    with pytest.warns(
        ExportWarning, match="WithDropout is in training mode.* A copy in eval mode is exported"
    ) as said:
        bundle = rnn_export.export(model, example, tmp_path / "bundle")
    assert [warning.filename for warning in said] == [__file__]
    assert model.training
    got, _ = rnn_export.load(bundle.folder)(example[0].numpy())
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(got), model.eval()(*example)[0])


def test_training_mode_without_a_difference_is_not_worth_a_word(rnn: ModelCase, tmp_path: Path) -> None:
    model, example = rnn.build()
    rnn_export.export(model.train(), example, tmp_path / "bundle")


def test_nan_parameters_are_said_and_compared_with_nan(tmp_path: Path) -> None:
    net = RNNScratch(4, 6, 3, sigma=0.5)
    with torch.no_grad():
        net.W_hq[2, 1] = torch.nan
    example = (torch.randn(9, 2, 4), net.begin_state(2, CPU))
    with pytest.warns(ExportWarning, match="NaN in the parameters W_hq") as said:
        bundle = rnn_export.export(net.eval(), example, tmp_path / "bundle")
    assert [warning.filename for warning in said] == [__file__]
    got, _ = rnn_export.load(bundle.folder)(example[0].numpy())
    assert torch.from_numpy(got).isnan().any(dim=(0, 1)).tolist() == [False, True, False]


# --- bad input --------------------------------------------------------------------------------------------


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
        r"or inputs alone, as tensors, got \(float32 \[9, 3, 4",
    ),
    "numpy example": (net(), (X.numpy(), (H,)), InputError, "as tensors, got .ndarray, "),
    "state of numbers": (net(), (X, (0.0,)), InputError, "'state': expected tensors, got float"),
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
        r"to see which axis is time and which is batch, got float32 \[3, 3, 4\], where both fit. Pass an",
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
        r"expected float32 \[time, batch, features\], got float32 \[3, 4\]. Time and batch come first",
    ),
    "inputs of rank 4": (net(), (X[None], (H,)), InputError, r"expected .*begin_state\(9, device\) gives"),
    "inputs of float64": (net(), (X.double(), (H,)), InputError, r"expected float32 .*, got float64"),
    "tokens of rank 1": (
        net(),
        (X[0, 0].long(), (H,)),
        InputError,
        r"expected token ids int64 \[time, batch\], got int64 \[4\]",
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
    "half": (
        net().half(),
        (X.half(), (H.half(),)),
        ModelError,
        "expected one dtype, float32 or float64, got float16",
    ),
    "mixed dtypes": (
        mixed(),
        (X, (H,)),
        ModelError,
        "expected one dtype, .*got float32, float64. Convert it",
    ),
    "only outputs": (
        Returning(lambda outputs, state: outputs),
        (X, (H,)),
        ModelError,
        r"'state': expected a state.*, got \(float32 \[3, 6\]\) that does not come back. Return \(outputs,",
    ),
    "nothing": (
        Returning(lambda outputs, state: None),
        (X, (H,)),
        ModelError,
        r"expected \(outputs, state\), got NoneType. Return \(outputs, state\)",
    ),
    "outputs in a dict": (
        Returning(lambda outputs, state: ({"logits": outputs}, state)),
        (X, (H,)),
        ModelError,
        r"expected outputs as a tensor, or a list of one a time step, .*, got dict and",
    ),
    "outputs summed over rows": (
        Returning(lambda outputs, state: (outputs.sum(1), state)),
        (X, (H,)),
        ModelError,
        r"outputs of forward\(\): expected an axis for the batch, 3, .*got float32 \[9, 3\]",
    ),
    "state that grows": (
        Returning(lambda outputs, state: (outputs, (torch.cat([state[0], state[0]], 1),))),
        (X, (H,)),
        ModelError,
        r"state that forward\(\) returns: expected .float32 \[3, 6\]., got .float32 \[3, 12\]",
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
