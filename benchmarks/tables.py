"""What was timed, laid out for a terminal and for BENCHMARKS.md."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from limits import UNITS, Limits
from peers import PEERS
from rich import box
from rich.console import Console
from rich.table import Table
from shapes import BEST, JAX, OPERATOR, SESSION, Shape

from rnn_export.benchmark.bench import number
from rnn_export.models import GRUScratch, RNNScratch

LOOP, SCAN, OPERATORS, GATED = "loop", "scan", "operator", "gated"
FORMS = (LOOP, SCAN, OPERATORS, GATED)
OURS = "model.onnx"
C, IN_C = "model.c", "model.c, in C"
TORCHSCRIPT = "TorchScript"
OTHERS = (*PEERS, TORCHSCRIPT, LOOP)  # what there would be without this package
AGAINST = {
    BEST: (*PEERS, TORCHSCRIPT, *FORMS, OURS),
    JAX: ("JAX",),
    SESSION: (*FORMS, OURS),
    OPERATOR: (OPERATORS,),
}
# The reset gate of torch.nn stands behind the matrix product: the same sizes, but another function.
ANOTHER = {("torch.nn", GRUScratch)}
NOTHING = "nothing to compare"

Layout = tuple[list[str], list[list[str]]]  # the headings, and the rows


@dataclass(frozen=True)
class Line:
    """A row: for each column a median in microseconds, or why there is none; and what model.onnx is."""

    shape: Shape
    cells: Mapping[str, float | str]
    shipped: str = ""

    def best(self, columns: Sequence[str]) -> tuple[float, str] | None:
        """Give the shortest time of some columns, and the column; a form that was shipped has two names."""
        times = [(value, name) for name in columns if isinstance(value := self.cells.get(name), float)]
        return min(times, default=None)

    def times_as_fast(self, columns: Sequence[str], own: str = OURS) -> str:
        """Say how many times as fast a column is as the best of some."""
        best, time = self.best(columns), self.cells.get(own)
        return f"{best[0] / time:.2f}" if best and isinstance(time, float) else NOTHING

    def text(self, column: str) -> str:
        """Write a cell."""
        value = self.cells.get(column, "no such file")
        mark = "*" if (column, self.shape.cell) in ANOTHER else ""
        return (number(value) if isinstance(value, float) else value) + mark


def headings_and_rows(lines: Sequence[Line]) -> Layout:
    """Lay out the comparison with others."""
    names = dict.fromkeys(name for row in lines for name in row.cells)
    own = [name for name in names if name not in {*OTHERS, *FORMS, OURS}]
    columns = [*OTHERS, OURS, *own]
    rows = [
        [
            *row.shape.labels,
            *map(row.text, columns),
            row.times_as_fast([LOOP]),
            row.times_as_fast(OTHERS),
        ]
        for row in lines
    ]
    return ["Net", "T", "B", *columns, "ONNX: times as fast as loop", "as the best other"], rows


def form_rows(lines: Sequence[Line]) -> Layout:
    """Lay out the comparison of the forms."""
    rows = [
        [*row.shape.labels, *map(row.text, FORMS), row.shipped, row.times_as_fast(FORMS)] for row in lines
    ]
    return ["Net", "T", "B", *FORMS, "model.onnx is", "times as fast as the best"], rows


C_HEADINGS = [
    *("Net", "T", "B", "in C", "through ctypes", "best other", "its time"),
    *("in C: times as fast", "through ctypes", "asked for", "GFLOP/s", "of sgemm"),
]


def c_rows(lines: Sequence[Line], limits: Limits) -> Layout:
    """Lay out what C reaches, what it is asked for, and how near that is to the machine's limit."""
    return C_HEADINGS, [list(_c_row(line, limits)) for line in lines]


def _c_row(line: Line, limits: Limits) -> Iterator[str]:
    yield from (*line.shape.labels, line.text(IN_C), line.text(C))
    best = line.best(AGAINST[BEST])
    yield from (best[1], number(best[0])) if best else (NOTHING, NOTHING)
    yield from (line.times_as_fast(AGAINST[BEST], own) for own in (IN_C, C))
    yield "; ".join(_asked(line, times, what) for times, what in line.shape.asked) or "no"
    time = line.cells.get(IN_C)
    rate = line.shape.operations / time / 1e3 if isinstance(time, float) else None
    yield f"{rate:.1f}" if rate else NOTHING
    yield f"{rate / limits.gigaflops:.0%}" if rate else NOTHING


def _asked(line: Line, times: float, what: str) -> str:
    """Say what is asked for and, where the columns before do not, what is reached in C and through ctypes."""
    if what == BEST:
        return f"{times:g}"
    reached = " and ".join(line.times_as_fast(AGAINST[what], own) for own in (IN_C, C))
    return f"{times:g} against {what}: {reached}"


def limits_text(lines: Sequence[Line], limits: Limits) -> str:
    """Say what this machine can do at the most, and how near a long sequence comes to it."""
    text = (
        f"Large float32 matrix products (sgemm) reach {limits.gigaflops:.0f} GFLOP/s on this core. "
        f"The chain of operations that a step of {UNITS} units waits for, and the next step for it, takes "
        f"{limits.nanoseconds:.1f} ns."
    )
    long = RNNScratch, UNITS, 1000, 1
    for line in lines:
        shape, time = line.shape, line.cells.get(IN_C)
        if (shape.cell, shape.hidden, shape.steps, shape.batch) == long and isinstance(time, float):
            step = time * 1000 / shape.steps
            text += (
                f" T={shape.steps} B={shape.batch}: {step:.1f} ns a step, of which the chain alone takes "
                f"{limits.nanoseconds:.1f}."
            )
    return text


def show(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
