"""The numbers of a bundle as charts: errors over time, and how long a call takes; places for SVG, no markup.

All panels of a chart share their axes, so that they can be compared by eye. Those of errors and of
microseconds are logarithmic.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rnn_export.verification.verify import VerificationReport

WIDTH, HEIGHT = 360.0, 236.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 352.0, 10.0, 204.0  # of what is drawn in a panel of errors
ROW, BAR_TOP = 34.0, 6.0  # of a panel of times
TICKS = (1, 2, 5)
MANY = 5  # ticks of an axis

Values = Sequence[float | None]


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """A line of a panel: what it is, and its way in SVG's words."""

    name: str
    path: str


@dataclass(frozen=True)
class ErrorPanel:
    """The errors of one runtime's files, with eager's own, and above which bound nothing may lie."""

    runtime: str
    series: tuple[Series, ...]
    eager: str
    bound: str
    forbidden: str


@dataclass(frozen=True)
class ErrorChart:
    """Errors over time, a panel for each runtime; ``horizon`` is where it lies, if it lies within."""

    panels: tuple[ErrorPanel, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    horizon: float | None
    heading: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Scale:
    """From numbers to places; logarithmic if ``log``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Give the place of a number; what lies outside stands at the edge."""
        low, high, at = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(at)
        return self.start + (self.end - self.start) * (at - low) / ((high - low) or 1)


def errors(report: VerificationReport) -> ErrorChart | None:
    """Chart the errors over time; nothing where none were kept."""
    curve = report.curve
    checks = [check for check in report.checks if check.curve]
    if not checks:
        return None
    lines: dict[str, Values] = {"eager": curve.eager, "allowed": curve.allowed}
    lines |= {f"{check.file} in {check.runtime}": check.curve for check in checks}
    x = Scale(curve.time[0], max(curve.time[-1], curve.time[0] + 1), LEFT, RIGHT)
    y = _decades([value for values in lines.values() for value in values if value], BOTTOM, TOP)
    bound = _path(curve.time, curve.allowed, x, y)
    panels = []
    for runtime, own in groupby(sorted(checks, key=lambda check: str(check.runtime)), lambda c: c.runtime):
        series = tuple(Series(c.file, _path(curve.time, c.curve, x, y)) for c in own)
        eager = _path(curve.time, curve.eager, x, y)
        panels.append(ErrorPanel(runtime, series, eager, bound, _above(curve.time, curve.allowed, x, y)))
    horizon = report.dynamics.horizon if report.dynamics else None
    rows = zip(curve.time, *lines.values(), strict=True)
    return ErrorChart(
        tuple(panels),
        tuple(Tick(x(value), f"{value:g}") for value in _steps(x.low, x.high)),
        tuple(Tick(y(value), exponent(value)) for value in _powers(y.low, y.high)),
        x(horizon) if horizon is not None and x.low <= horizon <= x.high else None,
        ("time step", *lines),
        tuple((str(step), *("" if v is None else f"{v:.2e}" for v in values)) for step, *values in rows),
    )


def exponent(value: float) -> str:
    """Write a power of ten.

    >>> exponent(1e-7), exponent(1.0)
    ('10⁻⁷', '10⁰')
    """
    digits = str(round(math.log10(value)))
    return "10" + digits.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _decades(values: Iterable[float], start: float, end: float) -> Scale:
    """Span whole powers of ten, at least one; what is smaller than a power can be stands at the edge.

    >>> _decades([5e-324, 1.0], 0, 1).low > 0
    True
    """
    found = [math.log10(value) for value in values if value > 0 and math.isfinite(value)] or [-8.0, -7.0]
    low, high = max(math.floor(min(found)), -300), math.ceil(max(found))
    return Scale(10.0**low, 10.0 ** max(high, low + 1), start, end, log=True)


def _powers(low: float, high: float) -> list[float]:
    first, last = round(math.log10(low)), round(math.log10(high))
    stride = -(-(last - first) // MANY)
    return [10.0**power for power in range(first, last + 1, stride)]


def _steps(low: float, high: float) -> list[float]:
    """Give the ends of an axis that counts, and some round numbers between them.

    >>> _steps(1, 151)
    [1, 50, 100, 151]
    """
    sizes = (tick * 10**power for power in range(9) for tick in TICKS)
    stride = next(size for size in sizes if (high - low) / size <= MANY - 1)
    inner = range(int(low // stride + 1) * stride, int(high), stride)
    return [low, *(value for value in inner if min(value - low, high - value) >= stride / 3), high]


def _path(time: Sequence[int], values: Values, x: Scale, y: Scale) -> str:
    """Write a line with gaps where there is no number."""
    parts, pen = [], "M"
    for step, value in zip(time, values, strict=True):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{x(step):.1f} {y(value):.1f}")
        pen = "L"
    return "".join(parts)


def _above(time: Sequence[int], values: Values, x: Scale, y: Scale) -> str:
    """Write the area above a line."""
    known = [(step, value) for step, value in zip(time, values, strict=True) if value is not None]
    line = _path([step for step, _ in known], [value for _, value in known], x, y)
    return f"{line}V{TOP}H{LEFT}Z" if line else ""


@dataclass(frozen=True)
class Lollipop:
    """How long one file in one runtime takes: its place from the top, how long, and the number."""

    file: str
    runtime: str
    y: float
    x: float
    text: str
    best: bool


@dataclass(frozen=True)
class LatencyPanel:
    """All files and runtimes on one shape of a call."""

    title: str
    rows: tuple[Lollipop, ...]


@dataclass(frozen=True)
class LatencyChart:
    """How long a call takes, a panel for each batch; ``notes`` says what was not timed and why."""

    panels: tuple[LatencyPanel, ...]
    height: float
    ticks: tuple[Tick, ...]
    heading: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def latencies(latency: dict[str, Any]) -> LatencyChart | None:
    """Chart what ``rnn-export report`` measured; nothing where it did not."""
    rows = [row for row in latency.get("rows", ()) if row["microseconds"]]
    if not rows:
        return None
    x = _decades([value for row in rows for value in row["microseconds"]], LEFT - 40, RIGHT - 44)
    titles = [f"{shape['time']} time steps, batch {shape['batch']}" for shape in latency["shapes"]]
    panels = []
    for number, title in enumerate(titles):
        times = [row["microseconds"][number] for row in rows]
        order = sorted(range(len(rows)), key=times.__getitem__)
        panels.append(
            LatencyPanel(
                title,
                tuple(
                    Lollipop(
                        rows[index]["file"],
                        rows[index]["runtime"],
                        BAR_TOP + ROW * place + ROW * 0.75,
                        x(times[index]),
                        microseconds(times[index]),
                        place == 0,
                    )
                    for place, index in enumerate(order)
                ),
            )
        )
    return LatencyChart(
        tuple(panels),
        BAR_TOP + ROW * len(rows) + 26,
        tuple(Tick(x(value), microseconds(value)) for value in _powers(x.low, x.high)),
        ("file", "runtime", *titles),
        tuple((row["file"], row["runtime"], *(f"{v:.1f}" for v in row["microseconds"])) for row in rows),
        tuple(f"{row['file']} in {row['runtime']}: {row['note']}" for row in latency["rows"] if row["note"]),
    )


def microseconds(value: float) -> str:
    """Write a time for people.

    >>> [microseconds(value) for value in (0.5, 6.43, 47.12, 395, 10297, 2.5e6)]
    ['0.50 µs', '6.4 µs', '47 µs', '395 µs', '10 ms', '2.5 s']
    """
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if value >= size or unit == "µs":
            number = value / size
            digits = 2 if number < 1 else 1 if number < 10 else 0
            text = f"{number:.{digits}f}"
            return f"{text.removesuffix('.0')} {unit}"
    raise AssertionError
