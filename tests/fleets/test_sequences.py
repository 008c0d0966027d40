"""Sequences between requests: bounded, forgotten when idle, in turns, unchanged by what fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from rnn_export.errors import InputError, SequenceError
from rnn_export.fleets.sequences import Sequences

STATE = (np.zeros(1, np.float32),)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


async def feed(sequences: Sequences, sequence_id: str, *, start: bool = False, end: bool = False) -> int:
    async with sequences.turn(sequence_id, start=start) as sequence:
        sequence.state, sequence.steps = (None if end else STATE), sequence.steps + 1
        return sequence.steps


def test_a_sequence_begins_goes_on_and_ends() -> None:
    async def go() -> None:
        sequences = Sequences()
        assert [await feed(sequences, "a", start=True), await feed(sequences, "a")] == [1, 2]
        await feed(sequences, "a", end=True)
        assert not len(sequences)
        with pytest.raises(SequenceError, match=r"expected the id of a sequence that has begun, got 'a'"):
            await feed(sequences, "a")

    run(go())


def test_one_too_many_is_refused_and_an_end_makes_room() -> None:
    async def go() -> None:
        sequences = Sequences(limit=2)
        for name in "ab":
            await feed(sequences, name, start=True)
        with pytest.raises(SequenceError, match=r"'c': expected at most 2 sequences at a time, got one more"):
            await feed(sequences, "c", start=True)
        await feed(sequences, "a", start=True)  # anew is not one more
        await feed(sequences, "b", end=True)
        await feed(sequences, "c", start=True)

    run(go())


def test_an_idle_one_is_forgotten_and_one_that_is_fed_is_not() -> None:
    async def go() -> None:
        clock = Clock()
        sequences = Sequences(idle_seconds=10, clock=clock)
        for name in "ab":
            await feed(sequences, name, start=True)
        clock.now = 9
        await feed(sequences, "a")
        clock.now = 11
        with pytest.raises(SequenceError):
            await feed(sequences, "b")
        assert await feed(sequences, "a") == 3
        assert len(sequences) == 1

    run(go())


def test_one_that_a_request_holds_for_long_is_not_forgotten() -> None:
    async def go() -> None:
        clock = Clock()
        sequences = Sequences(idle_seconds=10, clock=clock)
        await feed(sequences, "a", start=True)
        async with sequences.turn("a", start=False) as held:
            clock.now = 100
            await feed(sequences, "b", start=True)
            held.steps += 1
        assert await feed(sequences, "a") == 3

    run(go())


def test_a_request_that_fails_leaves_what_was_and_begins_nothing() -> None:
    async def failing(sequences: Sequences, name: str, *, start: bool) -> None:
        async with sequences.turn(name, start=start):
            raise InputError("wrong")

    async def go() -> None:
        sequences = Sequences(limit=1)
        with pytest.raises(InputError, match="wrong"):
            await failing(sequences, "new", start=True)
        assert not len(sequences)
        await feed(sequences, "a", start=True)
        for start in (False, True):
            with pytest.raises(InputError, match="wrong"):
                await failing(sequences, "a", start=start)
        assert await feed(sequences, "a") == 2

    run(go())


def test_requests_take_their_turns_in_order() -> None:
    async def go() -> None:
        sequences, order, running = Sequences(), list[int](), 0

        async def request(number: int) -> None:
            nonlocal running
            async with sequences.turn("a", start=False) as sequence:
                running += 1
                assert running == 1
                await asyncio.sleep(0.01 if number % 2 else 0)
                order.append(number)
                sequence.steps += 1
                running -= 1

        await feed(sequences, "a", start=True)
        await asyncio.gather(*map(request, range(10)))
        assert order == [*range(10)]
        assert await feed(sequences, "a") == 12

    run(go())


def test_who_waits_for_one_that_ends_is_told_and_who_begins_it_anew_is_not() -> None:
    async def go() -> None:
        sequences = Sequences(limit=1)
        await feed(sequences, "a", start=True)
        first, second, third = await asyncio.gather(
            feed(sequences, "a", end=True),
            feed(sequences, "a"),
            feed(sequences, "a", start=True),
            return_exceptions=True,
        )
        assert first == 2
        assert isinstance(second, SequenceError)
        assert isinstance(third, int)
        assert len(sequences) == 1

    run(go())


@pytest.mark.parametrize(
    "bounds", [{"limit": 0}, {"limit": True}, {"idle_seconds": -1}, {"idle_seconds": "1"}]
)
def test_bounds_are_numbers_above_zero(bounds: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected a number above 0"):
        Sequences(**bounds)
