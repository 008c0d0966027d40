"""A file of one time step is run over sequences, wherever their axes are and wherever rows end."""

import numpy as np

from rnn_export.runtimes.one_step import looped
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, InputSpec, OutputSpec, StateSpec

SIGNATURE = Signature(
    (InputSpec("x", "float32", ("batch", 2, "time")), InputSpec("c", "float32", ("batch", 2))),
    (StateSpec("h", "float32", ("batch", 2)),),
    (OutputSpec("y", "float32", ("batch", "time", 2)), OutputSpec("last", "float32", ("batch", 2))),
    "",
    lengths=True,
)
RANDOM = np.random.default_rng(0)


def step(x: Array, c: Array, h: Array, lengths: Array) -> list[Array]:
    """Add up, as long as a row has not ended."""
    assert [array.shape for array in (x, c, h)] == [(3, 2)] * 3
    assert x.flags.c_contiguous
    running = lengths[:, None] > 0
    h = np.where(running, h + x, h)
    return [np.where(running, h * c, 0), np.where(running, h, 0), h]


def test_the_state_is_handed_on_and_each_row_has_its_own_last_step() -> None:
    x, c, h = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 2, 4), (3, 2), (3, 2)))
    lengths = np.array([4, 1, 2])
    y, last, state = looped(step, SIGNATURE)(x, c, h, lengths)
    assert y.shape == (3, 4, 2)
    for row, length in enumerate(lengths):
        ends = h[row] + np.cumsum(x[row], -1).T
        np.testing.assert_allclose(y[row, :length], (ends * c[row])[:length], rtol=1e-5)
        assert not y[row, length:].any()
        np.testing.assert_allclose(last[row], ends[length - 1], rtol=1e-5)
        np.testing.assert_allclose(state[row], ends[length - 1], rtol=1e-5)
