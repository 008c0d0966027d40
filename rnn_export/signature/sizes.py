"""Sizes of a call that are no numbers: ``"time"``, ``"batch"``, and what a module makes of the time steps.

A stride, a pooling or a kernel over time gives outputs of another length. As the floor of a floor is one,
``(n time + m) // d`` says what any number of them after another make of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TIME = "time"
BATCH = "batch"
# How a length is written: time, 2*time - 1, (time + 1)//2.
LENGTH = (
    r"(?P<open>\()?((?P<times>[1-9]\d{0,3})\*)?time( (?P<sign>[+-]) (?P<more>[1-9]\d{0,5}))?"
    r"(?(open)\))(//(?P<by>[1-9]\d{0,3}))?"
)
MOST = 64  # that time is multiplied with, or divided by


@dataclass(frozen=True)
class Length:
    """A number of outputs, ``(times * T + more) // by`` for T time steps."""

    times: int = 1
    more: int = 0
    by: int = 1

    def __str__(self) -> str:
        """Write it as it stands in a shape.

        >>> str(Length(1, 1, 2)), str(Length(2, -1)), str(Length(by=4)), str(Length())
        ('(time + 1)//2', '2*time - 1', 'time//4', 'time')
        """
        first = TIME if self.times == 1 else f"{self.times}*{TIME}"
        whole = f"{first} {'-' if self.more < 0 else '+'} {abs(self.more)}" if self.more else first
        return whole if self.by == 1 else f"({whole})//{self.by}" if self.more else f"{whole}//{self.by}"

    def of(self, time: int) -> int:
        """Give the number for some time steps; none of fewer than it takes."""
        return max(0, (self.times * time + self.more) // self.by)


def read_length(text: str) -> Length | None:
    """Read what :class:`Length` writes; ``None`` if it is something else.

    >>> read_length("(time - 3)//2"), read_length("batch")
    (Length(times=1, more=-3, by=2), None)
    """
    found = re.fullmatch(LENGTH, text)
    if found is None:
        return None
    more = int(found["more"] or 0) * (-1 if found["sign"] == "-" else 1)
    return Length(int(found["times"] or 1), more, int(found["by"] or 1))


def size(name: int | str, sizes: Mapping[str, int]) -> int:
    """Give a size as a number."""
    if isinstance(name, int):
        return name
    length = None if name in sizes else read_length(name)
    return sizes[name] if length is None else length.of(sizes[TIME])


def fit(lengths: Mapping[int, int]) -> Length | None:
    """Find the simplest length that some numbers of time steps have; ``None`` if there is none.

    >>> fit({T: (T + 1) // 2 for T in range(5, 12)})
    Length(times=1, more=1, by=2)
    """
    for by in range(1, MOST + 1):
        for times in range(1, MOST + 1):
            low = max(by * out - times * time for time, out in lengths.items())
            high = min(by * (out + 1) - 1 - times * time for time, out in lengths.items())
            if low <= high:
                return Length(times, _near_zero(low, high), by)
    return None


def _near_zero(low: int, high: int) -> int:
    return 0 if low <= 0 <= high else min(low, high, key=abs)


def consecutive(length: Length, known: Sequence[int]) -> bool:
    """Whether enough lengths one after another were seen for no other length to be as right."""
    return len(known) > length.by and max(known) - min(known) + 1 == len(known)
