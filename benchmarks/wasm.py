"""Time a step of model.c as WebAssembly against ONNX Runtime Web, in one page of Chromium.

    python benchmarks/wasm.py            prints the table; half a minute
    python benchmarks/wasm.py --write    writes it into BENCHMARKS.md as well

Needs Node, clang, lld and Chromium. The page is that of examples/browser. Beside it all golden vectors have
to be right in both before anything is timed; then they take turns, through the adapters of that example.
"""

import json
import platform
import subprocess
from pathlib import Path
from typing import Annotated, Any

import typer
from limits import processor
from rich import box
from rich.console import Console
from rich.table import Table
from sections import OUT, replaced

ROOT = Path(__file__).resolve().parents[1]
BROWSER = ROOT / "examples" / "browser"
COMMAND = "python benchmarks/wasm.py --write"
HEADING = "WebAssembly, in a browser"
COLUMNS = (
    "Net",
    "model.c as WebAssembly",
    "onnxruntime-web",
    "times as fast",
    "its run() alone",
    "model.wasm, bytes",
    "with its JavaScript",
    "onnxruntime-web, bytes",
)
ASKED = 50, 20_000  # of rnn_scratch: times as fast, and the most bytes


def measured() -> dict[str, Any]:
    """Build the page, and let it time both."""
    for line in (["npm", "ci", "--silent"], ["node", "build.mjs"]):
        subprocess.run(line, cwd=BROWSER, check=True)  # noqa: S603
    done = subprocess.run(["node", "bench.mjs"], cwd=BROWSER, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S607
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cells(row: dict[str, Any]) -> list[str]:
    """Write the row of a net."""
    times, sizes = row["times"], row["bytes"]
    ours, theirs = times["wasm"], times["onnxruntime-web"]
    listed = [row["name"], f"{ours:.2f}", f"{theirs:.1f}", f"{theirs / ours:.0f}", f"{times['run']:.1f}"]
    return [*listed, *(f"{size:,}" for size in (row["file"], sizes["wasm"], sizes["onnxruntime-web"]))]


def section(found: dict[str, Any]) -> str:
    """Write the section of BENCHMARKS.md."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *map(cells, found["rows"])]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"""Written by `{COMMAND}`.

Machine: {processor()}; {platform.system()}, Chromium {found["browser"]}.

{table}

Microseconds for one time step of one row: the fastest of 400 rounds of a millisecond, in which all take
turns in one page. Each is called through its adapter in `examples/browser`, which checks every call;
*run() alone* is ONNX Runtime Web's own function, with tensors made before. Bytes are those that a page
downloads, not compressed. Asked for: rnn_scratch {ASKED[0]} times as fast, in at most {ASKED[1]:,} bytes.
"""


def main(
    write: Annotated[bool, typer.Option("--write", help="Write BENCHMARKS.md as well.")] = False,
) -> None:
    """Time a step and print the table."""
    found = measured()
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD)
    for row in found["rows"]:
        table.add_row(*cells(row))
    Console(width=140).print(table)
    if write:
        OUT.write_text(replaced(OUT.read_text(), HEADING, section(found)))


if __name__ == "__main__":
    typer.run(main)
