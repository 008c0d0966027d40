"""Whether two Programs compute the same: the check behind every pass and every proposal."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnn_export.program.program import Program, takes_lengths
from rnn_export.signature.tensors import LENGTHS, Array

CALLS = ((1, 1), (5, 3))  # time steps and rows
Results = dict[str, Any]
# What a Program has given on a call, by time steps, rows, and what was positive: its inputs, and results.
Known = dict[tuple[int, int, tuple[str, ...]], tuple[Program, dict[str, Array], Results]]
SAME = 2e-5  # float32, relative to the largest value of a result


def agree(
    one: Program, other: Program, calls: Sequence[tuple[int, int]] = CALLS, *, known: Known | None = None
) -> bool:
    """Run both on random calls; NaN and infinities have to be in the same places.

    A Program that takes lengths, where the first does not, is to compute the same for rows of full length.
    What the second one gives is noted in ``known``, from where it is taken when that is the first of another
    comparison. No Program may change between the two.
    """
    known = {} if known is None else known
    least = one.signature.least if one.signature else 1
    for time, batch in calls:
        before, after = _telling(one, other, max(time, least), batch, known)
        if list(before) != list(after) or not all(same(before[name], after[name]) for name in before):
            return False
    return True


def _telling(one: Program, other: Program, time: int, batch: int, known: Known) -> tuple[Results, Results]:
    """Draw a call and run both; one of positive numbers if others give results that are not finite.

    What takes logarithms or roots gives NaN otherwise, which says nothing of all that follows.
    """
    feeds = one.sample(time, batch)
    full = {LENGTHS.name: np.full(batch, time, np.int64)} if takes_lengths(other) else {}

    def run(positive: Sequence[str]) -> tuple[Results, Results]:
        given = {name: np.abs(array) if name in positive else array for name, array in feeds.items()}
        call = (time, batch, tuple(positive))
        program, inputs, results = known.get(call, (other, {}, {}))
        before = results if program is one and _equal(inputs, given) else one.run(given)
        known[call] = other, full | given, other.run(full | given)
        return before, known[call][2]

    drawn = run([])
    choices = ([next(iter(feeds))], [*feeds])
    found = (drawn, *(run(names) for names in (() if _finite(drawn) else choices)))
    return next(filter(_finite, found), drawn)


def _equal(some: dict[str, Array], others: dict[str, Array]) -> bool:
    return list(some) == list(others) and all(np.array_equal(some[name], others[name]) for name in some)


def _finite(runs: Sequence[Results]) -> bool:
    arrays = [array for results in runs for result in results.values() for array in _tensors(result)]
    return all(bool(np.isfinite(array).all()) for array in arrays if array.dtype.kind == "f")


def same(before: Any, after: Any) -> bool:
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
    if not before.size and not after.size:  # a Loop over no time steps gives every free size as zero
        return before.ndim == after.ndim and before.dtype == after.dtype
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    if before.dtype.kind != "f":
        return bool(np.array_equal(before, after))
    finite = before[np.isfinite(before)]
    scale = float(np.finfo(before.dtype).eps / np.finfo(np.float32).eps)
    allowed = SAME * scale * max(1.0, float(np.abs(finite).max(initial=0)))
    return np.allclose(before, after, 0, allowed, equal_nan=True)
