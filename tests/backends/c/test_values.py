"""NaN, infinities, subnormals and huge numbers in C: where eager has them, and in no other row."""

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.signature.tensors import Array
from tests.support.c_programs import needs_compiler
from tests.support.cases import the
from tests.support.exports import Exported

pytestmark = needs_compiler
STEPS, BATCH = 6, 11
TINY = 1e-42  # subnormal
# At (time step, row, feature); rows that are not named stay as they are.
SPECIAL = {
    (2, 0, 1): np.nan,
    (0, 2, 0): np.inf,
    (3, 3, 2): -np.inf,
    (5, 4, 3): np.nan,
    (1, 6): TINY,
    (4, 7, 0): 3e38,
    (4, 7, 1): -3e38,
    (0, 9): -TINY,
}
CLEAN = [1, 5, 8, 10]


def drawn() -> tuple[Array, Array]:
    """Draw inputs, and the same with special values."""
    plain = np.random.default_rng(5).standard_normal((STEPS, BATCH, 4)).astype(np.float32)
    special = plain.copy()
    for place, value in SPECIAL.items():
        special[place] = value
    return plain, special


def eager(name: str, inputs: Array) -> list[Array]:
    """Give eager's outputs and state."""
    model, _ = the(name).build()
    with torch.no_grad():
        outputs, state = model(torch.from_numpy(inputs), model.begin_state(BATCH, torch.device("cpu")))
    return [outputs.numpy(), *(leaf.numpy() for leaf in state)]


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_special_values_are_where_eager_has_them(name: str, exported: Exported) -> None:
    plain, special = drawn()
    runner = rnn_export.load(exported(the(name)).folder, runtime="c")
    outputs, state = runner(special)
    untouched, untouched_state = runner(plain)
    want = eager(name, special)
    assert any(np.isnan(part).any() for part in want)
    for got, expected in zip((outputs, *state), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, equal_nan=True)
    for got, before in zip((outputs, *state), (untouched, *untouched_state), strict=True):
        assert np.take(got, CLEAN, -2).tobytes() == np.take(before, CLEAN, -2).tobytes()


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, TINY, 3e38])
def test_special_values_in_the_state_stay_in_their_row(name: str, value: float, exported: Exported) -> None:
    plain, _ = drawn()
    runner = rnn_export.load(exported(the(name)).folder, runtime="c")
    state = runner.initial_state(BATCH)
    state[0][3, 2] = value
    model, _ = the(name).build()
    outputs, after = runner(plain, state)
    with torch.no_grad():
        want, want_after = model(torch.from_numpy(plain), tuple(torch.from_numpy(leaf) for leaf in state))
    for got, expected in zip((outputs, *after), (want, *want_after), strict=True):
        np.testing.assert_allclose(got, expected.numpy(), rtol=1e-4, atol=1e-6, equal_nan=True)


def test_subnormals_are_kept(exported: Exported) -> None:
    """A library that is loaded may not turn on flushing to zero, as one linked with -ffast-math does."""
    runner = rnn_export.load(exported(the("rnn")).folder, runtime="c")
    runner(drawn()[1])
    assert np.float32(TINY) * np.float32(1) != 0
