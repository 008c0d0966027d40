"""The states of sequences between requests: so many at most, each for so long, and one request at a time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rnn_export.errors import InputError, SequenceError, mismatch
from rnn_export.signature.tensors import Array

LIMIT, IDLE_SECONDS = 1000, 600.0


@dataclass
class Sequence:
    """A sequence between two requests.

    Attributes:
        state: behind its last time step; ``None`` before it has begun, and after its end.
        steps: time steps that it was fed.
        turn: who holds it has the sequence; the others come in the order in which they asked.
        waiting: requests that hold it or wait for it.
        used: when its last request was done.
    """

    state: tuple[Array, ...] | None = None
    steps: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    used: float = 0.0


class Sequences:
    """Sequences by their ids, in one event loop.

    There are at most ``limit`` of them. One that no request was about for ``idle_seconds`` is forgotten, when
    the next request comes.

    Raises:
        InputError: a bound is not above zero.
    """

    def __init__(
        self,
        limit: int = LIMIT,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, bound in (("max_sequences", limit), ("idle_seconds", idle_seconds)):
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound > 0:
                raise InputError(mismatch(name, "a number above 0", repr(bound), "Pass one."))
        self.limit, self.idle_seconds, self._clock = limit, idle_seconds, clock
        self._known: dict[str, Sequence] = {}  # the one that was used last comes last

    def __len__(self) -> int:
        return len(self._known)

    @asynccontextmanager
    async def turn(self, sequence_id: str, *, start: bool) -> AsyncIterator[Sequence]:
        """Give a sequence to one request; whoever comes later waits, in order.

        What the request leaves in ``state`` and ``steps`` is the sequence. One whose state is then ``None``
        is forgotten: it has ended, or its first request has failed.

        Args:
            sequence_id: of a sequence that has begun, unless ``start``.
            start: the request begins it, anew if there is one.

        Raises:
            SequenceError: there is no such sequence, or there are too many.
        """
        self._forget_idle()
        sequence = self._known.get(sequence_id) or self._begun(sequence_id, start=start)
        sequence.waiting += 1
        try:
            async with sequence.turn:
                if sequence.state is None and not start:  # it ended while this request waited
                    raise _unknown(sequence_id)
                yield sequence
        finally:
            sequence.waiting -= 1
            sequence.used = self._clock()
            del self._known[sequence_id]
            if sequence.waiting or sequence.state is not None:
                self._known[sequence_id] = sequence

    def _begun(self, sequence_id: str, *, start: bool) -> Sequence:
        if not start:
            raise _unknown(sequence_id)
        if len(self._known) >= self.limit:
            remedy = "End another with sequence_end, or wait until one has been idle for long enough."
            expected = f"at most {self.limit} sequences at a time"
            raise SequenceError(mismatch(f"sequence_id {sequence_id!r}", expected, "one more", remedy))
        self._known[sequence_id] = sequence = Sequence()
        return sequence

    def _forget_idle(self) -> None:
        oldest = self._clock() - self.idle_seconds
        for sequence_id, sequence in list(self._known.items()):
            if sequence.waiting:  # it stands where its last request has put it, perhaps long ago
                continue
            if sequence.used > oldest:
                break
            del self._known[sequence_id]


def _unknown(sequence_id: str) -> SequenceError:
    expected = "the id of a sequence that has begun"
    remedy = "Begin with sequence_start: it may have ended, been idle for too long, or be of another process."
    return SequenceError(mismatch("sequence_id", expected, repr(sequence_id), remedy))
