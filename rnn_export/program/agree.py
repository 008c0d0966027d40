"""Whether two Programs compute the same: the check behind every pass and every proposal."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnn_export.program.program import Program, takes_lengths
from rnn_export.signature.signature import LENGTHS, Array

CALLS = ((1, 1), (5, 3))  # time steps and rows
SAME = 2e-5  # float32, relative to the largest value of a result


def agree(one: Program, other: Program, calls: Sequence[tuple[int, int]] = CALLS) -> bool:
    """Run both on random calls; NaN and infinities have to be in the same places.

    A Program that takes lengths, where the first does not, is to compute the same for rows of full length.
    """
    for time, batch in calls:
        feeds = one.sample(time, batch)
        full = {LENGTHS.name: np.full(batch, time, np.int64)} if takes_lengths(other) else {}
        before, after = one.run(feeds), other.run(full | feeds)
        if list(before) != list(after) or not all(_same(before[name], after[name]) for name in before):
            return False
    return True


def _same(before: Any, after: Any) -> bool:
    """Compare two results: tensors, or sequences of them."""
    pairs = list(_tensors(before)), list(_tensors(after))
    return len(pairs[0]) == len(pairs[1]) and all(map(_close, *pairs))


def _tensors(result: Any) -> Iterator[Array]:
    if isinstance(result, list):
        for part in result:
            yield from _tensors(part)
    else:
        yield np.asarray(result)


def _close(before: Array, after: Array) -> bool:
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    if before.dtype.kind != "f":
        return bool(np.array_equal(before, after))
    finite = before[np.isfinite(before)]
    scale = float(np.finfo(before.dtype).eps / np.finfo(np.float32).eps)
    allowed = SAME * scale * max(1.0, float(np.abs(finite).max(initial=0)))
    return np.allclose(before, after, 0, allowed, equal_nan=True)
