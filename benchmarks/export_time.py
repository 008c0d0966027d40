"""How long an export of the first example takes, stage by stage: python benchmarks/export_time.py

Each run is a fresh process that has imported torch and rnn_export; medians of several runs. The stages are
those that ``export`` reports. ``wall`` is what passes on the clock. ``own`` and ``others`` are seconds of a
processor: of the process that exports, and of those that it starts, which are the workers and the C compiler
(counted in the stage in which they end).
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

PACKAGE, LOADING = "import rnn_export", "Importing what an export needs"
VERIFYING, CHECKED = "Verifying", "Verified"  # the stage that names the check which runs, and its end
Seconds = tuple[float, float, float]  # on the clock; of a processor: this process's, its children's


def main(
    runs: Annotated[int, typer.Option(help="The number of fresh processes.")] = 5,
    built: Annotated[bool, typer.Option(help="Let the library of the C be in the cache already.")] = False,
    pt2: Annotated[bool, typer.Option(help="Let it write model.pt2 as well.")] = False,
    once: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Measure an export."""
    if once:
        print(json.dumps(stages(pt2=pt2)))
        return
    with tempfile.TemporaryDirectory() as caches:
        caches_of_runs = [Path(caches) / ("0" if built else str(number)) for number in range(runs + built)]
        found = [fresh(cache, pt2=pt2) for cache in caches_of_runs][built:]
    Console().print(laid_out(found))


def fresh(cache: Path, *, pt2: bool) -> dict[str, Seconds]:
    """Measure an export in a fresh process."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, __file__, "--once", *(["--pt2"] if pt2 else [])],
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Seconds] = json.loads(done.stdout.splitlines()[-1])
    return result


def stages(*, pt2: bool) -> dict[str, Seconds]:
    """Export the first example in this process, and give the seconds of each stage."""
    marks: list[tuple[str, Seconds]] = []

    def mark(stage: str, *_: int) -> None:
        marks.append((VERIFYING if stage.startswith((VERIFYING, CHECKED)) else stage, now()))

    mark(PACKAGE)
    package = import_module("rnn_export")
    mark(LOADING)
    export, net = package.export, import_module("rnn_export.models").RNNScratch
    torch.manual_seed(0)
    model, example = net(16, 32, 1), torch.rand(100, 2, 16)
    with tempfile.TemporaryDirectory() as folder:
        mark("Examining the module")
        args = example, model.begin_state(2, torch.device("cpu"))
        export(model, args, f"{folder}/bundle", pt2=pt2, progress=mark)
        mark("")
    found: dict[str, Seconds] = {}
    for (stage, begin), (_, end) in pairwise(marks):
        found[stage] = added([found.get(stage, (0.0, 0.0, 0.0)), spent(begin, end)])
    return found


def now() -> Seconds:
    """Read the clock, and what processors have spent."""
    own, others = (
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
    return time.perf_counter(), own, others


def spent(begin: Seconds, end: Seconds) -> Seconds:
    """Give what lies between two readings."""
    wall, own, others = (after - before for before, after in zip(begin, end, strict=True))
    return wall, own, others


def added(parts: Iterable[Seconds]) -> Seconds:
    """Add up, each of the three by itself."""
    wall, own, others = (sum(column) for column in zip(*parts, strict=True))
    return wall, own, others


def laid_out(found: list[dict[str, Seconds]]) -> Table:
    """Lay the medians out in a table; the import of the package is not part of the export."""
    table = Table("stage", box=box.SIMPLE)
    for heading in ("wall", "own", "others"):
        table.add_column(heading, justify="right")
    for stage in found[0]:
        add(table, stage, [run[stage] for run in found])
    table.add_section()
    exports = ([run[stage] for stage in run if stage != PACKAGE] for run in found)
    add(table, "an export", list(map(added, exports)))
    return table


def add(table: Table, name: str, runs: list[Seconds]) -> None:
    """Add a row of medians, in seconds."""
    table.add_row(name, *(f"{median(column):.2f}" for column in zip(*runs, strict=True)))


if __name__ == "__main__":
    typer.run(main)
