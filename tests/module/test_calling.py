"""Modules as people write them: whatever they take and return, the files have one way to be called."""

import numpy as np
import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.errors import InputError, ModelError
from rnn_export.module.calling import equal
from rnn_export.module.inspection import inspect_export
from rnn_export.module.reading import inspect_module
from rnn_export.module.wrappers import over_time
from rnn_export.signature.tree import tree_leaves, tree_pairs
from rnn_export.verification.verify import PASSED, VerificationReport
from tests.support import nets
from tests.support.cases import CallCase, each_call_case, randomized
from tests.support.exports import Exported

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # said by torch.nn itself


@each_call_case
def test_the_call_is_found_out(case: CallCase, exported: Exported) -> None:
    signature = exported(case).signature

    def axes(spec: object) -> str:
        return str(spec).split(" ", 1)[1]

    assert axes(signature.inputs[0]) == case.inputs
    assert tuple(map(axes, signature.state)) == case.state
    assert axes(signature.outputs[0]) == case.outputs


@each_call_case
def test_every_file_is_proven(case: CallCase, exported: Exported) -> None:
    bundle = exported(case)
    report = VerificationReport.stored(bundle.manifest)
    assert report.passed
    assert bundle.signature.streamable is case.streamable
    checked = [check for check in report.checks if check.verdict == PASSED]
    assert all(bool(check.cut) is case.streamable for check in checked)
    assert {"model.onnx", "model.pt"} <= set(bundle.manifest.files)


@each_call_case
def test_the_files_give_what_the_module_gives(case: CallCase, exported: Exported) -> None:
    model, example = case.build()
    inputs = example if isinstance(example, torch.Tensor) else example[0]
    called = inputs[None] if case.step else inputs
    with torch.no_grad():
        result = model(*(example if isinstance(example, tuple) else (example,)))
    leaves = [leaf.unsqueeze(0) if case.step else leaf for leaf in tree_leaves(result)]
    steps = called.shape[0]
    wanted = (
        torch.stack(leaves[:steps])
        if isinstance(result, tuple) and isinstance(result[0], list)
        else leaves[0]
    )
    for runtime in ("onnxruntime", "torchscript"):
        outputs, state = rnn_export.load(exported(case).folder, runtime)(called.numpy())
        np.testing.assert_allclose(outputs, wanted.numpy(), atol=2e-6, rtol=1e-5)
        assert len(state) == (len(case.state) if case.name != "outputs_alone" else 0)


@each_call_case
def test_streaming_gives_the_whole(case: CallCase, exported: Exported) -> None:
    runner = rnn_export.load(exported(case).folder)
    spec, outputs_axis = runner.signature.inputs[0], runner.signature.outputs[0].time_axis
    rng = np.random.default_rng(0)
    shape = spec.sized(time=13, batch=2)
    inputs = (
        rng.integers(0, 11, shape) if spec.dtype == "int64" else rng.standard_normal(shape).astype(spec.dtype)
    )
    whole, last = runner(inputs)
    if not case.streamable:
        with pytest.raises(InputError, match=r"whole sequences only.*Leave the state out"):
            runner(inputs, runner.initial_state(2))
        return
    state = None
    outputs = []
    for step in range(13):
        y_t, state = runner(spec.cut(inputs, slice(step, step + 1)), state)
        outputs.append(y_t)
    joined = outputs[-1] if outputs_axis is None else np.concatenate(outputs, outputs_axis)
    np.testing.assert_allclose(joined, whole, atol=2e-6, rtol=1e-5)
    for got, want in zip(state, last, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5)


def test_names_are_paired_with_what_is_wrapped_alike() -> None:
    assert tree_pairs({"tuple": ["a", {"list": ["b", "c"]}]}, (1, [2, 3])) == [("a", 1), ("b", 2), ("c", 3)]
    with pytest.raises(ValueError, match="zip"):
        tree_pairs({"tuple": ["a", "b"]}, (1, 2, 3))


def test_a_step_that_returns_no_state_is_named() -> None:
    class Forgetful(nn.Module):
        def forward(self, x_t, state=None):
            return x_t[:, :1]

    with pytest.raises(
        InputError, match=r"result of a step of Forgetful: expected its new state, or .*got float32"
    ):
        over_time(Forgetful(), torch.zeros(3, 4), torch.zeros(3, 6))


def test_a_step_that_fails_is_named() -> None:
    with pytest.raises(
        InputError, match=r"a step of RNNCell failed on x_t float32 \[3, 5\]: .*without a time axis"
    ):
        inspect_module(nn.RNNCell(4, 6), torch.zeros(3, 5), step=True)


def test_a_beginning_that_is_not_zero_is_not_guessed() -> None:
    class Learned(nets.OptionalState):
        def forward(self, inputs, state=None):
            return super().forward(inputs, torch.ones(inputs.shape[1], 6) if state is None else state)

    with pytest.raises(
        InputError, match=r"model\(inputs\), the state left out: expected the results from the state that"
    ):
        inspect_module(Learned(), torch.randn(9, 3, 4))


def test_a_hidden_state_begins_with_what_the_module_begins_with() -> None:
    class Started(nets.Classifier):
        def forward(self, inputs):
            outputs, _ = self.layer(inputs, torch.ones(1, inputs.shape[0], 6))
            return self.head(outputs[:, -1])

    model = randomized(Started(nn.GRU(4, 6, batch_first=True))).eval()
    signature = inspect_export(model, torch.randn(3, 9, 4)).signature
    assert signature.streamable
    assert [leaf.initial for leaf in signature.state] == [1]


@pytest.mark.exhaustive
def test_a_layer_that_is_run_twice_has_two_states(tmp_path) -> None:
    class Twice(nets.Classifier):
        def forward(self, inputs):
            outputs, _ = self.layer(inputs)
            again, _ = self.layer(inputs * 0.5)
            return self.head((outputs + again)[:, -1])

    model = randomized(Twice(nn.GRU(4, 6, batch_first=True))).eval()
    signature = rnn_export.export(model, torch.randn(3, 9, 4), tmp_path / "bundle").signature
    assert [leaf.shape for leaf in signature.state] == [(1, "batch", 6)] * 2


def test_parts_of_a_state_that_mix_rows_are_named() -> None:
    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, inputs, total=None):
            total = torch.zeros(4) if total is None else total
            return (inputs * self.weight).cumsum(0), total + inputs.sum((0, 1))

    with pytest.raises(
        ModelError, match="a tensor of the state: expected one axis that grows with the batch"
    ):
        inspect_module(Summed(), torch.randn(9, 3, 4))


def test_nan_is_like_nan_and_like_no_number() -> None:
    nan, zero, inf = torch.tensor([torch.nan]), torch.zeros(1), torch.tensor([torch.inf])
    assert equal([nan, zero], [nan, zero])
    assert not equal([nan], [zero])
    assert not equal([inf], [torch.tensor([torch.finfo().max])])
