"""Whether two Programs compute the same: the check behind every pass and every proposal."""

import numpy as np

from rnn_export.program import Program

CALLS = ((1, 1), (5, 3))  # time steps and rows
SAME = 2e-5  # float32, relative to the largest value of a result


def agree(one: Program, other: Program) -> bool:
    """Run both on random calls; NaN and infinities have to be in the same places."""
    for time, batch in CALLS:
        inputs, *state = one.sample(time, batch)
        for before, after in zip(one.run(inputs, state), other.run(inputs, state), strict=True):
            finite = before[np.isfinite(before)]
            allowed = SAME * max(1.0, float(np.abs(finite).max(initial=0)))
            same = before.shape == after.shape and np.allclose(before, after, 0, allowed, equal_nan=True)
            if not same:
                return False
    return True
