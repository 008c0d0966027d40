"""Which walk over time makes what: it can read what earlier ones made at any step, and what it makes itself.

::

    walk 0, time forward      the GRU; the sum of its outputs
    walk 1, time backward     the GRU of the other direction
    walk 2, once              the mean, and what is made of it
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from rnn_export.backends.c.trace.graph import ONCE, Final, Input, Vector
from rnn_export.backends.c.trace.net import Sweep
from rnn_export.backends.c.trace.operations import At, Frames
from rnn_export.signature.sizes import Length


@dataclass
class Walks:
    """The walks over time of a net, in order."""

    sweeps: list[Sweep] = field(default_factory=list)

    def over(self, clock: Length, first: int, *, reverse: bool | None = None) -> int:
        """Give the number of a walk over some time steps, from a number on; add one if there is none."""
        for number in range(first, len(self.sweeps)):
            sweep = self.sweeps[number]
            if sweep.clock == clock and (reverse is None or sweep.reverse in (None, reverse)):
                sweep.reverse = sweep.reverse if reverse is None else reverse
                return number
        self.sweeps += [Sweep() for _ in range(first - len(self.sweeps))]
        self.sweeps.append(Sweep(reverse, clock))
        return len(self.sweeps) - 1

    def place(self, vector: Vector) -> int:
        """Choose the walk that makes a vector: the first that can read what it needs.

        What was at other time steps, or is left of a loop, is there when that walk has ended.
        """
        frames = isinstance(vector.operation, At | Frames)
        sources = [source for source in vector.sources() if not isinstance(source.operation, Input)]
        first = self.after(*((), sources) if frames else (sources,))
        once = frames or any(isinstance(each.operation, Final) or self.is_once(each) for each in sources)
        clock = vector.clock or (ONCE if once else None)
        # what is made of contexts alone is made at every time step anew
        return first if clock is None else self.over(clock, first)

    def after(self, read: Iterable[Vector], ended: Iterable[Vector] = ()) -> int:
        """Give the first walk that can read some vectors step by step, and others as a whole."""
        places = [vector.sweep + isinstance(vector.operation, Final) for vector in _made(read)]
        return max([*places, *(vector.sweep + 1 for vector in _made(ended))], default=0)

    def is_once(self, vector: Vector) -> bool:
        """Whether a vector is made by a walk that has a single step."""
        return vector.sweep < len(self.sweeps) and self.sweeps[vector.sweep].clock == ONCE


def _made(vectors: Iterable[Vector]) -> Iterable[Vector]:
    """Leave out the arguments of the call, which are there from the beginning."""
    return (vector for vector in vectors if not isinstance(vector.operation, Input))
