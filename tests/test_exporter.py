"""From a module to a bundle."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import ExportWarning, ModelError, VerificationError
from rnn_export.models import RNNScratch
from rnn_export.module.reading import inspect_module
from rnn_export.verification import grid
from rnn_export.verification.verify import VerificationReport
from tests.support.cases import CASES, CPU, ModelCase, sample
from tests.support.exports import Exported


@pytest.mark.several(2)
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


def stop(*_: object, **__: object) -> None:
    raise StopIteration


@pytest.mark.exhaustive
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
    checks = [stage for stage in told if re.fullmatch(r"Verifying \S+ in \w+(, and \d+ more)?", stage)]
    assert len(checks) > 3
    assert "more" not in checks[-1]
    assert told[-1] == "Verified"


@pytest.mark.far
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
        assert max(subject.inputs[0].shape[:2]) <= 16
        assert (subject.steps, subject.batch) == (time, batch)
        assert max(case.time for case in grid.build(subject).cases) <= max(steps for steps, _ in grid.FAR)


def test_a_quick_export_without_c_says_what_it_is(rnn: ModelCase, tmp_path: Path) -> None:
    bundle = rnn_export.export(*rnn.build(), tmp_path / "net", quick=True, c=False)
    stored = VerificationReport.stored(bundle.manifest)
    assert not [file for file in bundle.manifest.files if file.startswith("model.c")]
    assert stored.left_out == ("model.c: it was not asked for",)
    assert max(stored.grid["time"]) <= 11
    assert max(stored.grid["batch"]) <= 7
    assert stored.verdict.startswith("every file agrees with eager PyTorch; a quick check, ")
    assert "; model.c was not asked for" in stored.verdict
    assert rnn_export.verify(bundle.folder).verdict == stored.verdict
    with pytest.raises(
        VerificationError, match=r"c is required: model\.c was left out: it was not asked for"
    ):
        rnn_export.export(*rnn.build(), tmp_path / "net", overwrite=True, quick=True, c=False, require="c")


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


@pytest.mark.exhaustive
def test_a_large_net_streams_and_has_c(tmp_path: Path) -> None:
    """Of few calls, in each of which a right file is nearer for most of its units, and farther for some."""
    torch.manual_seed(0)
    bundle = rnn_export.export(nn.LSTM(64, 1024, 2), (torch.rand(20, 2, 64),), tmp_path / "b", quick=True)
    assert bundle.signature.streamable
    assert {"model.c", "model.pt", "variants/scan.onnx"} <= {*bundle.manifest.files}
