"""Where the vectors of a pass stand while it runs."""

from dataclasses import dataclass, field

from rnn_export.backends.c.trace.graph import Net, Op, View

WIDTH = 16  # numbers; rows of vectors are a multiple of it
PAD = 16  # numbers behind a buffer, which the last vector of a row may read
CACHE = 256  # numbers; rows this far apart, or a multiple of it, share few sets of the nearest cache


def wide(size: int) -> int:
    """Round a row up to whole vectors."""
    return -(-size // WIDTH) * WIDTH


def row_length(size: int) -> int:
    """Give the numbers from a row of a buffer to the next."""
    return wide(size) + (WIDTH if wide(size) % CACHE == 0 else 0)


@dataclass(frozen=True)
class Place:
    """A vector's buffer, the numbers from a row to the next, its place in a row, and whether a step ahead."""

    name: str
    row: str
    offset: int = 0
    ahead: bool = False


@dataclass
class Buffers:
    """A buffer for each vector that leaves its loop; ``direct`` are read where the caller has them."""

    net: Net
    names: dict[Op, str]
    direct: set[Op] = field(default_factory=set)
    owners: dict[Op, Op] = field(default_factory=dict)  # from what a state becomes to the state

    def __post_init__(self) -> None:
        for state in self.net.states():
            assert state.following
            self.owners[state.following.op] = state

    def place(self, op: Op) -> Place:
        """Say where an operation's vectors stand."""
        if op.start is not None:
            before = self.place(op.start.op)
            return Place(before.name, before.row, before.offset + op.start.offset, before.ahead)
        if op in self.owners:
            state = self.owners[op]
            return Place(self.names[state], str(row_length(state.size)), ahead=True)
        name = self.names[op]
        return Place(name, f"{name}_row" if op in self.direct else str(row_length(op.size)))

    def pointer(self, view: View, slot: str) -> str:
        """Write the address of a row's numbers."""
        place = self.place(view.op)
        at = f"({slot} + rows)" if place.ahead else slot if slot.isidentifier() else f"({slot})"
        if slot == "0":
            at = "rows" if place.ahead else ""
        text = f"{place.name} + {at} * {place.row}" if at else place.name
        offset = place.offset + view.offset
        return f"{text} + {offset}" if offset else text
