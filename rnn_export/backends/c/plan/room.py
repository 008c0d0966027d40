"""Where buffers stand: on the stack, of which a call takes 64 KB at the most, or in the workspace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rnn_export.backends.c.plan.buffers import PAD, row_length, wide
from rnn_export.backends.c.trace.elementwise import BOOL, FLOAT, INT
from rnn_export.backends.c.trace.graph import Vector

SLOTS = 64  # rows times time steps that are computed together, at the most
STACK = 40 << 10  # bytes of all buffers that stand on the stack; the rest of a call fits into 24 KB
FEWEST = 8  # slots that have to fit there: with fewer, the weights are read too often
FEW = 8  # time steps of a block of few rows, at the most
ROW = 256 << 10  # bytes of the buffers of a row in the workspace, unless a single time step takes more
BLOCK = 512 << 10  # bytes of the buffers of a block in the workspace, unless it has few rows
FEWEST_OUTSIDE = 24  # slots of a block in the workspace, whose weights come from far away
AROUND = 2 * 64  # bytes at a buffer beside its slots: PAD numbers behind it, and what aligns it
BYTES = {FLOAT: 4, INT: 8, BOOL: 4}


@dataclass(frozen=True)
class Room:
    """Chooses where the buffers of a net stand, and how many slots they have.

    ::

        on the stack    a buffer for `slots` slots, whatever rows there are
        outside         a part of the workspace for each row, so that threads share it, with buffers for `few`
                        slots; those of a block lie side by side:  n rows: n x first buffer | n x second | ..

    Attributes:
        states: what goes from one time step to the next: of all those of a block, and of the one before.
        lasting: what later walks over time read where it stands.
        sweeps: what is in buffers during each walk over time.
        scratch: the floats that each of some operations uses for itself.
    """

    states: Sequence[Vector]
    lasting: Sequence[Vector]
    sweeps: Sequence[Sequence[Vector]]
    scratch: Sequence[int]

    @cached_property
    def outside(self) -> bool:
        """Whether the buffers are too large for the stack."""
        return self._fitting < FEWEST

    @cached_property
    def slots(self) -> int:
        """The rows times time steps of a block, at the most."""
        most = max(FEWEST_OUTSIDE, BLOCK // self._bytes) if self.outside else self._fitting
        return min(SLOTS, most - most % 4)

    @cached_property
    def few(self) -> int:
        """The time steps of a block for each row, at the most: of a row alone, or where each has its part."""
        return max(1, min(FEW, ROW // self._bytes)) if self.outside else FEW

    @property
    def stack(self) -> int:
        """The bytes of all buffers on the stack, and of what operations use for themselves."""
        return 0 if self.outside else self.slots * self._bytes + self._around

    @property
    def small_stack(self) -> int:
        """The same with a single slot."""
        return 0 if self.outside else self._bytes + self._around

    @cached_property
    def offsets(self) -> Mapping[Vector, int]:
        """Where each buffer stands outside, in floats for each row of a block."""
        found: dict[Vector, int] = {}
        end = 0
        for vector in (*self.states, *self.lasting):
            slots = self.few + (vector in self.states)
            found[vector], end = end, end + slots * _row(vector) // BYTES[FLOAT]
        for sweep in self.sweeps:  # each has buffers of its own, where the one before had them
            at = end
            for vector in sweep:
                found[vector], at = at, at + self.few * _row(vector) // BYTES[FLOAT]
        return found

    @cached_property
    def behind(self) -> int:
        """Where outside operations have what they use for themselves: behind all buffers."""
        spared = (self.few - 1) * sum(map(_row, self.states))
        return (self.few * self._bytes - spared) // BYTES[FLOAT]

    @property
    def size(self) -> int:
        """The floats of a row's part of the workspace."""
        return self.behind + wide(max(self.scratch, default=0)) + PAD

    @cached_property
    def _bytes(self) -> int:
        """The bytes of all buffers for each slot."""
        sweeps = max(sum(map(_row, sweep)) for sweep in self.sweeps)
        return max(1, sweeps + sum(map(_row, self.lasting)) + 2 * sum(map(_row, self.states)))

    @cached_property
    def _around(self) -> int:
        """The bytes that do not depend on slots: around buffers, and what operations use."""
        count = max(map(len, self.sweeps)) + len(self.lasting) + len(self.states)
        return count * AROUND + BYTES[FLOAT] * sum(self.scratch)

    @cached_property
    def _fitting(self) -> int:
        """The slots that fit on the stack."""
        return max(0, STACK - self._around) // self._bytes


def _row(vector: Vector) -> int:
    """Give the bytes from a row of a buffer to the next."""
    return row_length(vector.size) * BYTES[vector.dtype]
