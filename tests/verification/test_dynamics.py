"""The exponent is that of maps whose exponent is known."""

import numpy as np
import pytest

from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec, StateSpec
from rnn_export.verification import dynamics

RANDOM = np.random.default_rng(0)


def signature(*leaves: StateSpec) -> Signature:
    return Signature(
        inputs=(InputSpec("inputs", "float32", ("time", "batch", 1)),),
        state=leaves,
        outputs=(OutputSpec("outputs", "float32", ("time", "batch", 1)),),
        tree="state_0",
    )


def exponent(step, state: np.ndarray, *counter: np.ndarray, steps: int = 400) -> float:
    """Measure a map from state to state, which does not look at its inputs."""
    leaves = [StateSpec("state_0", "float32", ("batch", *state.shape[1:]))]
    leaves += [StateSpec("state_1", "int64", ("batch", 1)) for _ in counter]

    def call(inputs: np.ndarray, state: np.ndarray, *counter: np.ndarray) -> list[np.ndarray]:
        return [np.zeros(inputs.shape), step(state), *(count + 1 for count in counter)]

    inputs = np.zeros((steps, len(state), 1), np.float32)
    return dynamics.exponent(call, [inputs], [state, *counter], signature(*leaves), np.random.default_rng(1))


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
def test_a_linear_map_grows_by_its_factor(factor: float) -> None:
    matrix = np.diag([factor, factor / 2, factor / 4])
    assert exponent(lambda state: state @ matrix, np.ones((2, 3))) == pytest.approx(np.log(factor), abs=1e-3)


def test_the_logistic_map_doubles() -> None:
    """x -> 4 x (1 - x) has the exponent ln 2."""
    state = RANDOM.uniform(0.1, 0.9, (20, 1))
    assert exponent(lambda x: 4 * x * (1 - x), state) == pytest.approx(np.log(2), abs=0.02)


def test_rows_have_their_own_distance() -> None:
    """One row that forgets at once and one that doubles: the mean of both."""
    factors = np.array([[2.0], [0.5]])
    grown = exponent(lambda x: x * np.concatenate([factors, factors]), np.ones((2, 1)), steps=40)
    assert grown == pytest.approx(0.0, abs=1e-6)


def test_what_forgets_all_is_far_below_zero_and_counters_do_not_count() -> None:
    counter = np.zeros((2, 1), np.int64)
    assert exponent(lambda state: 0 * state + 0.5, np.ones((2, 3)), counter) < -10
    assert exponent(lambda state: state * 0.9, np.ones((2, 3)), counter) == pytest.approx(
        np.log(0.9), abs=1e-3
    )


def test_the_horizon_is_where_the_errors_of_all_steps_have_added_up() -> None:
    for rate in (0.0, 0.01, 0.5):
        steps, error = 0, 0.0
        while error < dynamics.AGREEMENT:
            steps, error = steps + 1, error * np.exp(rate) + 1e-6
        assert dynamics.horizon(rate, 1e-6) == pytest.approx(steps, abs=1)


def test_a_net_that_forgets_has_no_horizon_unless_its_steps_are_coarse() -> None:
    assert dynamics.horizon(-0.1, 1e-7) is None
    assert dynamics.horizon(-1e-4, 1e-5) == pytest.approx(1053, abs=2)
    assert dynamics.horizon(0.0, 1e-12) is None


def test_errors_are_relative_to_all_floating_point_leaves() -> None:
    errors = [np.array([3e-3, 4e-3], np.float32), np.array([7])]
    assert dynamics.relative(errors, [np.array([0.0, 1.0]), np.array([9])]) == pytest.approx(5e-3)
