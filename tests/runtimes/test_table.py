"""A runner checks every call, also those of shapes and dtypes that it has seen before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_export
from rnn_export.errors import InputError
from rnn_export.runtimes.table import Runner
from tests.support.c_programs import needs_compiler

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
each_runtime = pytest.mark.parametrize("runtime", [pytest.param("c", marks=needs_compiler), "onnxruntime"])
X, H = np.ones((3, 2, 16), np.float32), np.ones((2, 32), np.float32)


def load(runtime: str, name: str = "rnn_scratch") -> Runner:
    return rnn_export.load(ARTIFACTS / name, runtime)


@each_runtime
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda runner: runner(X.astype(np.float64), (H,)), "expected float32"),
        (lambda runner: runner(X[..., :15], (H,)), "Axis 2 is 16 in this model, not 15"),
        (lambda runner: runner(X[0], (H,)), "It has 3 axes, not 2"),
        (lambda runner: runner(X[:, :1], (H,)), "The state is made for the batch of the inputs"),
        (lambda runner: runner(X[:0], (H,)), "at least one time step"),
        (lambda runner: runner(X, (H.astype(np.float64),)), "expected float32"),
        (lambda runner: runner(X, (H, H)), "1 tensors"),
        (lambda runner: runner(X, ()), "1 tensors"),
        (lambda runner: runner(X, H), "expected a tuple of arrays, got ndarray"),
        (lambda runner: runner(X, (None,)), "expected float32"),
        (lambda runner: runner(None), "expected float32"),
        (lambda runner: runner({"other": X}), "expected 'inputs', got 'other'"),
        (lambda runner: runner(X, (H,), np.array([3, 3])), "this model was exported without"),
    ],
)
def test_what_is_wrong_is_refused_after_right_calls(
    call: Callable[[Runner], Any], words: str, runtime: str
) -> None:
    runner = load(runtime)
    for _ in range(2):
        runner(X)
        runner(X, (H,))
    with pytest.raises(InputError) as raised:
        call(runner)
    assert words in str(raised.value)


@each_runtime
@pytest.mark.parametrize("count", [1, 100])
def test_token_ids_are_looked_at_in_every_call(count: int, runtime: str) -> None:
    runner = load(runtime, "char_rnn")
    ids = np.zeros((count, 1), np.int64)
    runner(ids)
    for wrong in (-1, 10**6):
        ids[-1] = wrong
        with pytest.raises(InputError, match="token ids from 0 to"):
            runner(ids)


@each_runtime
def test_what_comes_back_is_the_callers(runtime: str) -> None:
    runner = load(runtime)
    first, state = runner(X)
    kept = first.copy(), state[0].copy()
    for array in (first, *state, *runner.initial_state(2)):
        array[...] = 7
    again, after = runner(X)
    np.testing.assert_array_equal(again, kept[0])
    np.testing.assert_array_equal(after[0], kept[1])
