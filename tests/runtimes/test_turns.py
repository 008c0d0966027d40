"""How calls are timed: they take turns, and the median counts."""

import itertools

import pytest

from rnn_export.runtimes import turns


class Clock:
    """Time that passes in calls only; keeps who was called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.called: list[str] = []

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, *durations: float):
        remaining = itertools.cycle(durations)

        def run() -> None:
            self.called.append(name)
            self.now += next(remaining)

        return run

    @property
    def turns(self) -> list[str]:
        return [name for name, _ in itertools.groupby(self.called)]


def test_the_calls_take_turns_and_the_median_counts() -> None:
    clock = Clock()
    calls = {"fast": clock.call("fast", 0.002, 0.002, 0.010), "slow": clock.call("slow", 0.004)}
    times = turns.measure(calls, seconds=0.0, clock=clock)
    assert clock.turns == ["fast", "slow"] * (1 + turns.LEAST)
    assert times == pytest.approx({"fast": 2000.0, "slow": 4000.0})


def test_who_had_a_share_of_the_time_sits_out() -> None:
    clock = Clock()
    turns.measure({"a": clock.call("a", 1.0), "b": clock.call("b", 0.001)}, seconds=2.0, clock=clock)
    assert clock.turns.count("a") == 1 + turns.LEAST
    assert clock.called.count("b") >= 1000
    assert clock.now < 3 + 2 * turns.LEAST + 1.1


def test_the_first_call_of_a_turn_is_not_timed() -> None:
    clock = Clock()
    call = clock.call("a", *[0.0] * turns.WARM_UP, *[0.5, 0.002, 0.002] * turns.LEAST)
    assert turns.measure({"a": call}, seconds=0.0, clock=clock) == pytest.approx({"a": 2000.0})
