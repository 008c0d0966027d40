"""Golden vectors that stay small, whatever the model: of large results some numbers are kept by a rule.

A result is whole up to a number of its numbers, the same for all of a bundle, and in the smallest runs. Of
others each k-th is kept, in the order in which they lie: 0, k, 2 k, ... ``k`` has no factor in common with
the sizes of the result's own axes, and differs from case to case, so that all of its units come in turn::

    [T, B, 50000], k = 21    0, 21, 42, ..., 49980 of the first row; 1, 22, 43, ... of the second

Inputs and states are whole. Where these take too much by themselves, the largest calls are left out.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count as count_from
from math import gcd, prod
from typing import Any

from rnn_export.bundle.golden import ORDINARY, RESULTS, RUN, Case, Golden, only
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import TensorSpec

ROOM = 3_600_000  # bytes of all numbers: with the index beside them 4 MB
CALLS = ROOM // 2  # bytes of inputs and states


def thinned(golden: Golden, signature: Signature) -> Golden:
    """Keep so much of golden vectors that they fit into ``ROOM``; all of those that do."""
    if _bytes(golden.cases) <= ROOM:
        return golden
    cases = _affordable(golden.cases)
    most = max(array.size for case in cases for array in case.float64)
    whole, found = _whole(cases), cases
    while _bytes(found) > ROOM and most > 1:
        most, taken = most * 7 // 8, set[int]()
        found = [case if case.name in whole else _marked(case, most, signature, taken) for case in cases]
    return replace(golden, cases=[_without_others(case) for case in found])


def _affordable(cases: Sequence[Case]) -> list[Case]:
    """Leave the largest calls out, if they take too much: not the first, nor the smallest of several rows."""
    if sum(map(_call_bytes, cases)) <= CALLS:
        return list(cases)
    runs = (case for case in cases if case.kind == RUN and case.values == ORDINARY)
    several = sorted((case for case in runs if case.time > 1 and case.batch > 1), key=_call_bytes)
    wanted = {case.name for case in (cases[0], *several[:1])}
    wanted |= {f"{name}_steps" for name in wanted}
    kept, room = set[str](), CALLS
    for case in sorted(cases, key=lambda case: (case.name not in wanted, _call_bytes(case))):
        room -= _call_bytes(case)
        if room >= 0 or case.name in wanted:
            kept.add(case.name)
    return [case for case in cases if case.name in kept]


def _whole(cases: Sequence[Case]) -> set[str]:
    """Name the smallest runs, of which all numbers are kept: which one is the largest is looked at, too."""
    names, room = set[str](), ROOM // 4
    for case in sorted((case for case in cases if case.kind == RUN), key=lambda case: _bytes([case])):
        room -= _bytes([case])
        if room < 0:
            break
        names.add(case.name)
    return names


def _marked(case: Case, most: int, signature: Signature, taken: set[int]) -> Case:
    """Say of a case which numbers are kept: others than of the cases before."""
    results = zip(case.float64, signature.results, strict=True)
    every = tuple(each_of(array.size, most, spec, taken) for array, spec in results)
    taken.update(every)
    return replace(case, every=every if any(each > 1 for each in every) else ())


def _without_others(case: Case) -> Case:
    """Put zeros where numbers are not kept, as they are when they are read again."""
    parts: dict[str, Any] = {part: tuple(only(*array) for array in case.stored(part)) for part in RESULTS}
    return replace(case, **parts)


def each_of(count: int, most: int, spec: TensorSpec, taken: Collection[int]) -> int:
    """Say which numbers of a result are kept: each first, second, third, ... one; of those not ``taken``.

    >>> each_of(100, 100, TensorSpec("y", "float32", ("time", "batch", 50)), [])
    1
    >>> spec = TensorSpec("y", "float32", ("time", "batch", 50))
    >>> each_of(100, 30, spec, []), each_of(700, 30, spec, [27, 29])
    (7, 31)
    """
    least, units = -(-count // most), prod(size for size in spec.shape if isinstance(size, int))
    fits = (each for each in count_from(least) if gcd(each, units) == 1 and each not in taken)
    return 1 if least == 1 else next(fits)


def _bytes(cases: Sequence[Case]) -> int:
    """Count the bytes of what is kept."""
    results = (array for case in cases for part in RESULTS for array in case.stored(part))
    return sum(map(_call_bytes, cases)) + sum(
        -(-array.size // every) * array.itemsize for array, every in results
    )


def _call_bytes(case: Case) -> int:
    return sum(array.nbytes for array in case.arguments)
