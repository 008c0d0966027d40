"""How long calls take: they take turns, so that what disturbs the machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from itertools import pairwise
from typing import TypeVar

SECONDS = 3.0  # for all calls together
WARM_UP = 3  # calls: TorchScript specialises itself in the first ones
LEAST = 5  # turns
TURN = 0.003  # seconds; shorter ones measure cold caches

Key = TypeVar("Key", bound=Hashable)


def measure(
    calls: Mapping[Key, Callable[[], object]],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Key, float]:
    """Give each call's median time in microseconds, the calls taking turns.

    A turn is calls for ``TURN`` seconds, and at least two; the first is not timed, as it brings back into the
    caches what the others drove out. Who has had a share of ``seconds``, and ``LEAST`` turns, sits out.
    """
    times: dict[Key, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    waiting = list(calls)
    turn = 0
    while waiting:
        for name in waiting:
            begin = clock()
            times[name] += _turn(calls[name], clock, begin + TURN)
            spent[name] += clock() - begin
        turn += 1
        waiting = [name for name in waiting if turn < LEAST or spent[name] < seconds / len(calls)]
    return {name: statistics.median(values) * 1e6 for name, values in times.items()}


def _turn(call: Callable[[], object], clock: Callable[[], float], until: float) -> list[float]:
    """Call until a moment; give the times of all calls but the first."""
    call()
    moments = [clock()]
    while len(moments) < 2 or moments[-1] < until:
        call()
        moments.append(clock())
    return [end - start for start, end in pairwise(moments)]
