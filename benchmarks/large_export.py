"""What an export of a large net takes: python benchmarks/large_export.py

    python benchmarks/large_export.py                            an LSTM of 3 layers of 1024 units: minutes
    python benchmarks/large_export.py --units 512 --layers 2

Each export is in a fresh process, on one thread. ``CPU s`` are seconds of processors: of the process that
exports (``own``), and of those that it starts, in the stage in which they end (``others``). ``rise`` is the
most memory that all these processes have at once, less what the export of the same net with 8 units has in
that stage; what processes share is counted once (PSS). It is given in units of the weights' bytes as well.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import torch
import typer
from export_time import CHECKED, VERIFYING, now
from rich import box
from rich.console import Console
from rich.table import Table

import rnn_export

INPUTS, SMALL = 64, 8
STEPS, ROWS = 20, 2
EVERY = 0.1  # seconds between two looks at the memory


@dataclass
class Taken:
    """What a stage took: seconds on the clock, of processors, and bytes of memory at the most."""

    wall: float = 0.0
    own: float = 0.0
    others: float = 0.0
    peak: int = 0


def main(
    units: Annotated[int, typer.Option(help="Units of each layer.")] = 1024,
    layers: Annotated[int, typer.Option(help="The number of layers.")] = 3,
    once: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Measure an export."""
    if once:
        print(json.dumps(marks(units, layers, Path(once))))
        return
    small, large = measured(SMALL, layers), measured(units, layers)
    weights = 4 * sum(parameter.numel() for parameter in net(units, layers).parameters())
    Console().print(laid_out(small, large, weights))


def net(units: int, layers: int) -> torch.nn.LSTM:
    """Make the net, with the same weights each time."""
    torch.manual_seed(0)
    return torch.nn.LSTM(INPUTS, units, layers)


def marks(units: int, layers: int, folder: Path) -> list[tuple[str, float, float, float]]:
    """Export the net in this process; give what the clocks said when each stage began."""
    found = []

    def mark(stage: str, *_: int) -> None:
        found.append((VERIFYING if stage.startswith((VERIFYING, CHECKED)) else stage, *now()))

    example = torch.rand(STEPS, ROWS, INPUTS)
    mark("Importing what an export needs")
    export = rnn_export.export
    mark("Examining the module")
    export(net(units, layers), (example,), folder / "bundle", progress=mark)
    mark("")
    return found


def measured(units: int, layers: int) -> dict[str, Taken]:
    """Export the net in a fresh process, and watch it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--units", f"{units}", "--layers", f"{layers}", "--once", folder]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": folder}
        samples = []
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
            while process.poll() is None:
                samples.append((time.perf_counter(), sum(map(memory, family(process.pid)))))
                time.sleep(EVERY)
            assert process.stdout is not None
            lines = process.stdout.read().splitlines()
        if process.returncode:
            raise SystemExit(process.returncode)
    found: dict[str, Taken] = {}
    for (stage, begin, *before), (_, end, *after) in pairwise(json.loads(lines[-1])):
        taken = found.setdefault(stage, Taken())
        taken.wall += end - begin
        taken.own += after[0] - before[0]
        taken.others += after[1] - before[1]
        taken.peak = max(taken.peak, *(size for at, size in samples if begin <= at <= end), 0)
    return found


def family(process: int) -> Iterator[int]:
    """Give a process and those that it started, and those that these started."""
    yield process
    with suppress(OSError):
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from family(int(child))


def memory(process: int) -> int:
    """Give the bytes of memory that a process has, its share of what it shares; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def laid_out(small: dict[str, Taken], large: dict[str, Taken], weights: int) -> Table:
    """Lay out what the stages of the large net's export took, beside those of the small one's."""
    table = Table("stage", box=box.SIMPLE, title=f"{weights / 1e6:.1f} MB of weights")
    for heading in ("wall", "own CPU s", "others' CPU s", "peak MB", "rise MB", "rise / weights"):
        table.add_column(heading, justify="right")
    total, rises = Taken(), list[int]()
    for stage, taken in large.items():
        rises.append(max(0, taken.peak - small.get(stage, Taken()).peak))
        total.wall, total.own, total.others = (
            total.wall + taken.wall,
            total.own + taken.own,
            total.others + taken.others,
        )
        total.peak = max(total.peak, taken.peak)
        add(table, stage, taken, rises[-1], weights)
    table.add_section()
    add(table, f"an export, {total.own + total.others:.0f} CPU s", total, max(rises), weights)
    return table


def add(table: Table, name: str, taken: Taken, rise: int, weights: int) -> None:
    """Add a row."""
    seconds = (f"{number:.1f}" for number in (taken.wall, taken.own, taken.others))
    table.add_row(name, *seconds, f"{taken.peak / 1e6:.0f}", f"{rise / 1e6:.0f}", f"{rise / weights:.1f}")


if __name__ == "__main__":
    typer.run(main)
