"""Where the vectors of a sweep stand while it runs."""

from dataclasses import dataclass, field

from rnn_export.backends.c.trace.graph import Affine, Dot, Vector
from rnn_export.backends.c.trace.net import Net

WIDTH = 16  # numbers; rows of vectors are a multiple of it
PAD = 16  # numbers behind a buffer, which the last vector of a row may read
CACHE = 256  # numbers; rows this far apart, or a multiple of it, share few sets of the nearest cache


def wide(size: int) -> int:
    """Round a row up to whole vectors of C."""
    return -(-size // WIDTH) * WIDTH


def row_length(size: int) -> int:
    """Give the numbers from a row of a buffer to the next."""
    return wide(size) + (WIDTH if wide(size) % CACHE == 0 else 0)


def place_length(vector: Vector) -> int:
    """Give the numbers from a place of a time step to the next: single ones stand side by side."""
    whole = isinstance(vector.operation, Affine) and not isinstance(vector.operation, Dot)
    return 1 if vector.size == 1 and not whole else row_length(vector.size)


@dataclass(frozen=True)
class Place:
    """Where a vector stands.

    Attributes:
        owner: the vector whose buffer it is in.
        offset: its first number within a row of the buffer.
        ahead: whether it stands a time step ahead, as what a state becomes does.
    """

    owner: Vector
    offset: int = 0
    ahead: bool = False


@dataclass
class Buffers:
    """A buffer for each vector that leaves its loop; ``direct`` are read where the caller has them."""

    net: Net
    direct: set[Vector] = field(default_factory=set)
    owners: dict[Vector, Vector] = field(default_factory=dict)  # from what a state becomes to the state

    def __post_init__(self) -> None:
        for state in self.net.states():
            assert state.following
            self.owners[state.following.vector] = state

    def place(self, vector: Vector) -> Place:
        """Say where a vector stands: what is added to another one, in that one's place."""
        if vector.start is not None:
            before = self.place(vector.start.vector)
            return Place(before.owner, before.offset + vector.start.offset, before.ahead)
        if vector in self.owners:
            return Place(self.owners[vector], ahead=True)
        return Place(vector)
