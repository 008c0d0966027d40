"""golden.py BOARD FOLDER...: run golden vectors on a board in QEMU, and compare with eager's results.

Each vector runs whole and in single time steps, which have to give the same bits, and so has a row alone.
Only Python's own library is needed.
"""

import json
import re
import struct
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

FORMAT_VERSION = 2
WIDTHS = {"float32": 4, "float64": 8, "int64": 8, "bool": 1}  # in golden/tensors.bin
CODES = {"float32": "f", "float64": "d", "int64": "q", "bool": "i"}  # as the program and ``array`` have them
MEASURED = re.compile(r"^(\w+): (\d+) instructions per step", re.MULTILINE)

Entry = dict[str, Any]


def make(board: str, *words: str) -> str:
    """Run a target of the Makefile, and give what the program printed."""
    line = ["make", "--silent", f"BOARD={board}", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"error: {board}: {' '.join(words)}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def part(data: bytes, sizes: Sequence[int], axis: int | None, at: int) -> bytes:
    """Cut one place out of an axis; a tensor without it is the same for all places."""
    if axis is None:
        return data
    outer, count = prod(sizes[:axis]), sizes[axis]
    piece = len(data) // (outer * count) if data else 0
    return b"".join(data[(i * count + at) * piece : (i * count + at + 1) * piece] for i in range(outer))


def joined(parts: Sequence[bytes], sizes: Sequence[int], axis: int | None) -> bytes:
    """Put places of an axis side by side; of a tensor without it, the last one counts."""
    if axis is None:
        return parts[-1]
    outer = prod(sizes[:axis])
    piece = len(parts[0]) // outer
    return b"".join(one[i * piece : (i + 1) * piece] for i in range(outer) for one in parts)


class Golden:
    """The vectors of a bundle, and the calls that they become."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["format_version"] != FORMAT_VERSION:
            came = f"expected manifest format {FORMAT_VERSION}, got {manifest['format_version']}"
            sys.exit(f"error: {folder}: {came}; export and scaffold with one rnn-export")
        signature = manifest["signature"]
        self.inputs: list[Entry] = signature["inputs"]
        self.state: list[Entry] = signature["state"]
        self.outputs: list[Entry] = signature["outputs"]
        self.cases: list[Entry] = json.loads((folder / "golden/index.json").read_text())["cases"]
        self._tensors = (folder / "golden/tensors.bin").read_bytes()

    def tensor(self, entry: Entry) -> bytes:
        """Read a tensor as the program takes it: truth values are -1 and 0, of four bytes.

        Of a large result each first, second, third, ... number is there, as ``every`` says.
        """
        begin, kept = entry["offset"], -(-prod(entry["shape"]) // entry.get("every", 1))
        data = self._tensors[begin : begin + kept * WIDTHS[entry["dtype"]]]
        return array("i", [-(each != 0) for each in data]).tobytes() if entry["dtype"] == "bool" else data

    def values(self, entry: Entry) -> "array[Any]":
        """Read a tensor as numbers."""
        return array(CODES[entry["dtype"]], self.tensor(entry))

    def taken(self, case: Entry, axis: str, at: int | None) -> tuple[bytes, bytes]:
        """Give the inputs and the state of a case, or one place of an axis of them."""
        return self._part(self.inputs, case["call"], axis, at), self._part(self.state, case["call"], axis, at)

    def _part(self, specs: Sequence[Entry], entries: Entry, axis: str, at: int | None) -> bytes:
        found = []
        for spec in specs:
            entry = entries[spec["name"]]
            data = self.tensor(entry)
            found.append(
                data if at is None else part(data, entry["shape"], place(spec["shape"], axis, entry), at)
            )
        return b"".join(found)

    def results(self, case: Entry) -> list[tuple[str, Entry, Sequence[Any]]]:
        """List all that comes out: the name, the tensor, and the names of its axes."""
        named = [(spec["name"], spec["shape"]) for spec in self.outputs]
        named += [(leaf["output_name"], leaf["shape"]) for leaf in self.state]
        return [(name, case["float32"][name], axes) for name, axes in named]


def place(axes: Sequence[Any], axis: str, entry: Entry) -> int | None:
    """Find an axis by its name; a tensor has it or not."""
    return axes.index(axis) if axis in axes and len(axes) == len(entry["shape"]) else None


def call(steps: int, batch: int, goes_on: bool, inputs: bytes, state: bytes) -> bytes:
    """Write a call as golden.c reads it."""
    return struct.pack("<3I", steps, batch, goes_on) + inputs + (b"" if goes_on else state)


def calls_of(golden: Golden, case: Entry) -> Iterator[bytes]:
    """Write a case whole; then one that is a run in single steps, and its last row alone."""
    time, batch = case["time"], case["batch"]
    inputs, state = golden.taken(case, "time", None)
    yield call(time, batch, False, inputs, state)
    if case["kind"] != "run":
        return
    for t in range(time):
        yield call(1, batch, t > 0, golden.taken(case, "time", t)[0], state)
    yield call(time, 1, False, *golden.taken(case, "batch", batch - 1))


class Results:
    """What the program wrote, call after call."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def next(self, golden: Golden, case: Entry, without: str = "") -> list[bytes]:
        """Read the results of a call that has one place of an axis, or of the whole case."""
        found = []
        for _, entry, axes in golden.results(case):
            axis = place(axes, without, entry)
            width = 8 if entry["dtype"] == "int64" else 4
            size = prod(entry["shape"]) * width // (1 if axis is None else entry["shape"][axis])
            found.append(self._data[self._at : self._at + size])
            self._at += size
        return found


def truths(values: "array[Any]") -> "array[Any]":
    """Write truth values as 0 and 1: those of C are 0 and -1."""
    return array("i", [each != 0 for each in values])


def compared(golden: Golden, case: Entry, got: Sequence[bytes]) -> Iterator[tuple[float, float, str]]:
    """Give for each result its error, its part of what is allowed, and what is wrong with it, if anything."""
    for (name, entry, _), data in zip(golden.results(case), got, strict=True):
        every: int = case["float64"][name].get("every", 1)
        expected, result = golden.values(case["float64"][name]), array(CODES[entry["dtype"]], data)[::every]
        if entry["dtype"] == "bool":
            expected, result = truths(expected), truths(result)
        open_ = case.get("undecided", {}).get(name)
        undecided = golden.values(open_) if open_ else [0] * len(expected)
        allowed = float(case["tolerance"][name])
        worst, problem = 0.0, ""
        for at, (want, have, either) in enumerate(zip(expected, result, undecided, strict=True)):
            error = 0.0 if have == want or either else abs(have - want)
            if not error <= allowed and not problem:  # NaN is not
                values = f"expected {want:.9g}, got {have:.9g}, off by {error:.1e}, allowed {allowed:.1e}"
                problem = f"{case['name']}: {name}[{at * every}]: {values}"
            worst = max(worst, error)
        yield worst, worst / allowed if allowed else 0.0, problem


def check(golden: Golden, case: Entry, results: Results) -> Iterator[tuple[float, float, str]]:
    """Compare a case with eager's results, and its steps and its last row with the whole, bit for bit."""
    whole = results.next(golden, case)
    yield from compared(golden, case, whole)
    if case["kind"] != "run":
        return
    steps = [results.next(golden, case, "time") for _ in range(case["time"])]
    row = results.next(golden, case, "batch")
    for number, (name, entry, axes) in enumerate(golden.results(case)):
        time, batch = place(axes, "time", entry), place(axes, "batch", entry)
        if joined([step[number] for step in steps], entry["shape"], time) != whole[number]:
            yield 0.0, 0.0, f"{case['name']}: {name}: other bits in single time steps"
        if row[number] != part(whole[number], entry["shape"], batch, case["batch"] - 1):
            yield 0.0, 0.0, f"{case['name']}: {name}: other bits in a row alone"


def run(board: str, folder: Path, instructions: dict[str, str]) -> bool:
    """Run the vectors of a bundle, and print a line."""
    golden, name = Golden(folder), folder.name
    calls, results = (Path(f"build/{board}/{name}.{kind}").resolve() for kind in ("calls", "results"))
    calls.write_bytes(b"".join(each for case in golden.cases for each in calls_of(golden, case)))
    make(board, "run", "PROGRAM=golden", f"ARGS={name} {calls} {results}")
    read = Results(results.read_bytes())
    found = [each for case in golden.cases for each in check(golden, case, read)]
    problems = [problem for _, _, problem in found if problem]
    for problem in problems[:1] if golden.cases else [f"no golden vectors in {folder}"]:
        print(f"{name} ({board}): {problem}", file=sys.stderr)
    if problems or not golden.cases:
        return False
    streamed = sum(case["kind"] == "run" for case in golden.cases)
    worst, share = max(error for error, _, _ in found), max(share for _, share, _ in found)
    print(
        f"{name} ({board}): {len(golden.cases)} vectors whole, {streamed} streamed, worst error {worst:.1e} "
        f"({100 * share:.0f}% of allowed), {instructions[name]} instructions per step",
        flush=True,
    )
    return True


def main() -> None:
    """Run every bundle on a board."""
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} BOARD FOLDER...")
    board, folders = sys.argv[1], [Path(folder) for folder in sys.argv[2:]]
    instructions = dict(MEASURED.findall(make(board, "measure")))
    passed = [run(board, folder, instructions) for folder in folders]
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
