"""The grid: its draws, and the question whether a net may be cut."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from rnn_export.bundle.golden import LARGE, NON_FINITE, RUN, STEP
from rnn_export.errors import ModelError
from rnn_export.module import eager, fold_check
from rnn_export.module.reading import inspect_module
from rnn_export.verification import grid
from tests.support.cases import ModelCase, each_case


@each_case
def test_whether_a_net_may_be_cut_is_found_out(case: ModelCase) -> None:
    reason = fold_check.streaming_obstacle(inspect_module(*case.build()))
    assert (reason is None) == case.streamable
    assert case.streamable or "the outputs first differ at time step 0, by 0." in reason


@each_case
@pytest.mark.filterwarnings("ignore:NaN in the parameters")
def test_nan_parameters_do_not_hide_that_a_net_looks_ahead(case: ModelCase) -> None:
    model, example = case.build()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    assert (fold_check.streaming_obstacle(inspect_module(model, example)) is None) == case.streamable


@each_case
def test_draws_are_reproducible_and_like_the_example(case: ModelCase) -> None:
    subject = inspect_module(*case.build())
    call = eager.start(subject, torch.float32)
    one, two = grid.Draw(subject, call), grid.Draw(subject, call)
    [drawn], [again] = one.inputs(40, 5), two.inputs(40, 5)
    assert (drawn == again).all()
    assert drawn.dtype == subject.inputs[0].numpy().dtype
    if drawn.dtype.kind == "f":
        assert 0.5 < drawn.std() / max(1e-3, np.sqrt((subject.inputs[0].numpy() ** 2).mean())) < 2
        assert (drawn.astype(np.float32) == drawn).all()
    else:
        assert call(drawn, *subject.signature.initial_state(5))


class Attribute(torch.nn.Module):
    """Keeps a state in an attribute."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4,), 0.5))
        self.kept = torch.zeros(())

    def forward(self, inputs, state):
        self.kept = self.kept + inputs.mean()
        return inputs * self.weight + self.kept, state


class Listed(Attribute):
    """Keeps a list inside of forward."""

    def forward(self, inputs, state):
        earlier = []
        outputs = []
        for x_t in inputs:
            outputs.append(x_t * self.weight + sum(earlier))
            earlier.append(x_t)
        return torch.stack(outputs), state


class NormOverTime(Attribute):
    """Takes a norm over time."""

    def forward(self, inputs, state):
        return (inputs - inputs.mean(0)) * self.weight, state


class LastOfMean(Attribute):
    """Gives one output, of all time steps."""

    def forward(self, inputs, state):
        return inputs.mean(0) * self.weight, state


class LostState(Attribute):
    """Returns another state than the one after the last time step."""

    def forward(self, inputs, state):
        return inputs * self.weight, state * 0.5


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Listed, r"first differ at time step 1, by \d.*\(in a list or a variable inside of forward\)$"),
        (NormOverTime, r"first differ at time step 0, by \d.*: later time steps take part"),
        (LastOfMean, r"first differ at time step 1, .*inside of forward\), or later time steps take part"),
        (LostState, r"step by step, the final state differs by \d"),
    ],
)
def test_the_cause_is_named(net: type[torch.nn.Module], reason: str) -> None:
    subject = inspect_module(net(), (torch.randn(9, 3, 4), torch.ones(3, 6)))
    assert re.search(reason, fold_check.streaming_obstacle(subject)), fold_check.streaming_obstacle(subject)


def test_single_steps_start_from_states_that_eager_reached(rnn: ModelCase) -> None:
    subject = inspect_module(*rnn.build())
    cases = {case.name: case for case in grid.build(subject).cases}
    run, steps = cases["T7_B2_random"], cases["T7_B2_random_steps"]
    assert steps.kind == STEP
    call = eager.start(subject, torch.float32)
    state = run.state
    for moment, step in enumerate((0, 2, 4, 6)):
        before = run.state if step == 0 else call(run.inputs[0][:step], *state)[1:]
        rows = slice(2 * moment, 2 * moment + 2)
        np.testing.assert_array_equal(steps.inputs[0][0, rows], run.inputs[0][step])
        np.testing.assert_allclose(steps.state[0][rows], before[0], rtol=1e-6)


def test_a_net_for_some_batches_only_is_named(rnn: ModelCase) -> None:
    class Narrow(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = rnn.build()[0]

        def forward(self, inputs, state):
            outputs, state = self.net(inputs, state)
            return outputs[:, :4], state

    subject = inspect_module(Narrow(), rnn.build()[1])
    with pytest.raises(
        ModelError, match=r"outputs of Narrow for .*'batch': 5}: expected \[9, 5, 3\], got \[9, 4, 3\]"
    ):
        grid.build(subject)


@pytest.mark.far
def test_long_runs_many_rows_large_inputs_and_nan_are_tried_whatever_the_example(rnn: ModelCase) -> None:
    subject = inspect_module(*rnn.build())
    cases = grid.build(subject).cases
    assert set(grid.FAR) <= {(case.time, case.batch) for case in cases}
    large = [case for case in cases if case.values == LARGE]
    assert {case.kind for case in large} == {RUN, STEP}
    assert max(np.abs(case.inputs[0]).max() for case in large) > 30 * float(subject.inputs[0].abs().max())
    [spoilt] = [case for case in cases if case.values == NON_FINITE]
    assert [np.isfinite(spoilt.inputs[0][:, row]).all() for row in range(spoilt.batch)] == [
        *[False] * 3,
        True,
        True,
    ]


@pytest.mark.far
def test_runs_that_take_too_much_are_left_out(rnn: ModelCase, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = inspect_module(*rnn.build())
    units = subject.signature.inputs[0].shape[-1] + subject.signature.outputs[0].shape[-1]
    monkeypatch.setattr(grid, "MOST_NUMBERS", 300 * units)
    tried = {(case.time, case.batch) for case in grid.build(subject).cases}
    assert (300, 1) in tried
    assert (1025, 1) not in tried


class Heavy(torch.nn.Module):
    """Has so many weights that a call of it takes long; they are nowhere."""

    def __init__(self, weights: int):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.empty(weights, device="meta"))


@pytest.mark.parametrize("weights", [1 << 20, 1 << 24, 1 << 30])
def test_a_net_of_very_many_weights_is_tried_on_fewer_time_steps_and_rows(rnn: ModelCase, weights) -> None:
    subject = replace(inspect_module(*rnn.build()), model=Heavy(weights))
    found = grid.shapes(20)
    kept = grid._affordable(found, subject)
    work = weights * sum(steps * batch for steps, batch in kept)
    assert (kept == found) == (weights == 1 << 20)
    assert work <= grid.MOST_WORK or len(kept) == grid.FREE_SHAPES
    assert {batch for _, batch in kept} == {1, 2, 5}
    assert {steps for steps, _ in kept} >= {1, 2, 7, 20}


@pytest.mark.parametrize(("weights", "steps"), [(1 << 20, 100), (1 << 24, 32), (1 << 30, 32)])
def test_what_a_large_net_makes_of_rounding_is_measured_over_fewer_time_steps(
    rnn: ModelCase, weights, steps
) -> None:
    assert grid._length(replace(inspect_module(*rnn.build()), model=Heavy(weights))) == steps


@pytest.mark.parametrize(("weights", "rows"), [(1 << 20, fold_check.ROWS), (1 << 24, 73), (1 << 30, 43)])
def test_fewer_rows_of_a_net_of_very_many_weights_are_run_together(rnn: ModelCase, weights, rows) -> None:
    subject = replace(inspect_module(*rnn.build()), model=Heavy(weights))
    assert fold_check._rows(subject, fold_check.STEPS, alone=8) == rows
