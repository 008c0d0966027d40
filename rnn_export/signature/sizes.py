"""Sizes of a call that are no numbers: ``"time"``, ``"batch"``, and what a module makes of the time steps.

A stride, a pooling or a kernel over time gives outputs of another length. As the floor of a floor is one,
``(n T + m) // d`` says what any number of them after another make of it; what then gives several outputs for
one, such as a transposed convolution, multiplies that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd

TIME = "time"
BATCH = "batch"
# How a length is written: time, 2*time - 1, (time + 1)//2, 2*((time + 1)//2) + 4.
INNER = (
    r"(?P<open>\()?((?P<times>[1-9]\d{0,3})\*)?time( (?P<sign>[+-]) (?P<more>[1-9]\d{0,5}))?"
    r"(?(open)\))(//(?P<by>[1-9]\d{0,3}))?"
)
LENGTH = rf"((?P<each>[1-9]\d{{0,3}})\*\()?{INNER}(?(each)\)( \+ (?P<plus>[1-9]\d{{0,3}}))?)"
MOST = 64  # that time is multiplied with, or divided by


@dataclass(frozen=True)
class Length:
    """A number of outputs, ``each * ((times * T + more) // by) + plus`` for T time steps.

    With another ``base``, the name of a free size of a context, that takes the place of the time steps.
    """

    times: int = 1
    more: int = 0
    by: int = 1
    each: int = 1
    plus: int = 0
    base: str = TIME

    def __str__(self) -> str:
        """Write it as it stands in a shape.

        >>> str(Length(1, 1, 2)), str(Length(2, -1)), str(Length(by=4)), str(Length())
        ('(time + 1)//2', '2*time - 1', 'time//4', 'time')
        >>> str(Length(1, 1, 2, 2, 1))
        '2*((time + 1)//2) + 1'
        >>> str(Length(base="memory_length"))
        'memory_length'
        """
        if self.each > 1:
            return f"{self.each}*({replace(self, each=1, plus=0)}){f' + {self.plus}' * bool(self.plus)}"
        first = self.base if self.times == 1 else f"{self.times}*{self.base}"
        whole = f"{first} {'-' if self.more < 0 else '+'} {abs(self.more)}" if self.more else first
        return whole if self.by == 1 else f"({whole})//{self.by}" if self.more else f"{whole}//{self.by}"

    def of(self, time: int) -> int:
        """Give the number for some time steps, as many as it takes or none; or for a size of the base."""
        return self.each * max(0, (self.times * time + self.more) // self.by) + self.plus


def read_length(text: str) -> Length | None:
    """Read what :class:`Length` writes; ``None`` if it is something else.

    >>> read_length("(time - 3)//2"), read_length("batch")
    (Length(times=1, more=-3, by=2, each=1, plus=0, base='time'), None)
    >>> read_length("2*(time//2) + 1")
    Length(times=1, more=0, by=2, each=2, plus=1, base='time')
    """
    found = re.fullmatch(LENGTH, text)
    if found is None:
        return None
    more = int(found["more"] or 0) * (-1 if found["sign"] == "-" else 1)
    times, by, each = (int(found[name] or 1) for name in ("times", "by", "each"))
    return Length(times, more, by, each, int(found["plus"] or 0))


def size(name: int | str, sizes: Mapping[str, int]) -> int:
    """Give a size as a number."""
    if isinstance(name, int):
        return name
    length = None if name in sizes else read_length(name)
    return sizes[name] if length is None else length.of(sizes[TIME])


def fit(lengths: Mapping[int, int]) -> Length | None:
    """Find the simplest length that some numbers of time steps have; ``None`` if there is none.

    >>> str(fit({T: (T + 1) // 2 for T in range(5, 12)}))
    '(time + 1)//2'
    >>> str(fit({T: 2 * (T // 2) + 3 for T in range(5, 12)}))
    '2*((time + 2)//2) + 1'
    """
    plain = _floor(lengths)
    if plain is not None:
        return plain
    outputs = [*lengths.values()]
    every = gcd(*(output - outputs[0] for output in outputs))
    for each in (number for number in range(2, MOST + 1) if every % number == 0):
        plus = outputs[0] % each
        inner = _floor({time: (output - plus) // each for time, output in lengths.items()})
        if inner is not None:
            return replace(inner, each=each, plus=plus)
    return None


def _floor(lengths: Mapping[int, int]) -> Length | None:
    """Find the simplest length of one floor."""
    for by in range(1, MOST + 1):
        for times in range(1, MOST + 1):
            low = max(by * out - times * time for time, out in lengths.items())
            high = min(by * (out + 1) - 1 - times * time for time, out in lengths.items())
            if low <= high:
                return Length(times, 0 if low <= 0 <= high else min(low, high, key=abs), by)
    return None
