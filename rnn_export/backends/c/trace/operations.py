"""More kinds of operation, of maps of features and of choices; each has a loop of its own in C."""

from dataclasses import dataclass
from math import prod

from rnn_export.backends.c.trace.graph import Constant, Input, Operation, View, Weight
from rnn_export.signature.sizes import Length


@dataclass(frozen=True)
class Window:
    """How a window slides over a map, by axis: height, then width.

    At place ``p`` of the window ``o`` is number ``o * stride + p * dilation - before`` of the map; outside of
    it there are zeros.
    """

    sizes: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    results: tuple[int, int]

    @property
    def count(self) -> int:
        """How many windows there are."""
        return prod(self.results)


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Operation):
    """``y[o, p] = b[o] + sum(x[c, w] W[c, w, o])`` over the window ``w`` of each place ``p``.

    Each group of channels has a matrix and a bias of its own. A matrix has a row for each number of a window,
    channel by channel, and a column for each channel of the result.
    """

    channels: int
    window: Window
    matrices: tuple[Weight, ...]
    biases: tuple[Weight, ...]

    @property
    def depth(self) -> int:
        """The length of its sums."""
        return int(self.matrices[0].values.shape[0])

    @property
    def columns(self) -> int:
        """How many channels a group gives."""
        return int(self.matrices[0].values.shape[1])


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows(Operation):
    """``x @ W`` of several rows of numbers with one matrix; each result fills whole vectors of C."""

    count: int
    matrix: Weight


@dataclass(frozen=True, eq=False, kw_only=True)
class Pick(Operation):
    """Numbers of the first operand by the indices in the second: ``each`` of every ``count`` neighbours.

    A negative index counts from the end; one that is outside gives zero.
    """

    count: int
    each: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Put(Operation):
    """The first operand; ``each`` of every ``count`` neighbours are replaced by the third, at the second one.

    With a function, ``add``, ``max``, ``min`` or ``mul``, what was there takes part. Places as for ``Pick``.
    """

    count: int
    each: int
    function: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Ranked(Operation):
    """The places of the ``kept`` largest or smallest of each ``count`` neighbours, the first one first.

    Of equal numbers the one that stands first comes first. NaN is larger than any number.
    """

    count: int
    kept: int
    largest: bool


@dataclass(frozen=True)
class Tap:
    """When an operand is read: at its step ``times * q + more``, counted from its last one if it is ``back``.

    ``q`` counts the time steps of one phase, ``q * every + phase``. So many numbers stand at ``target``. What
    would be before the first time step or behind the last one is ``fill``.
    """

    target: int
    size: int
    times: int
    more: int
    back: bool
    phase: int
    fill: Constant | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Frames(Operation):
    """Numbers of other time steps side by side; each operand is read as one of the taps says."""

    taps: tuple[Tap, ...]
    every: int = 1


@dataclass(frozen=True, eq=False)
class At(Operation):
    """The first operand at the time step that the second one names, of each number or of all.

    A negative one counts from the end; one that is outside gives zero.
    """


@dataclass(frozen=True, eq=False)
class Each(Operation):
    """What an earlier walk made at each of its steps, as the places of a later walk's time step."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Across(Operation):
    """The ``max``, ``min``, ``prod`` or ``sum`` of all places of a time step.

    A sum may have a second operand: weights that the numbers are multiplied with, each of them ``each``
    neighbours.
    """

    function: str
    each: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Number(Input):
    """Which time step it is, the first one being 0."""

    leaf: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Found(Input):
    """Numbers of a time step that others name: where both were left, and from which number on."""

    source: tuple[Input, int]
    index: tuple[Input, int]
    each: bool  # whether each number has an index of its own
    leaf: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Count(Input):
    """How many time steps there are, as a float."""

    clock: Length
    leaf: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Kept(Input):
    """What an earlier walk over time left of a vector that is there once for each row."""

    source: View
    leaf: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Taken(Input):
    """Numbers of other time steps side by side: where the operand of each tap was left, and from which on."""

    frames: Frames
    sources: tuple[tuple[Input, int], ...]
    leaf: str = ""
