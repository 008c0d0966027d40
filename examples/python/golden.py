"""golden.py FOLDER...: run golden vectors, whole and step by step, and compare with eager's results."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from recurrent import Array, Model, Session, State, alone, by_name, load, time_axis

ROUNDS, STEPS = 11, 1000
SECONDS = 0.2  # for a round, at the most
KINDS = {("f", "f"), ("i", "i"), ("b", "b")}  # of what is computed, and of what it is compared with


class Golden:
    """The vectors of a bundle."""

    def __init__(self, folder: Path) -> None:
        self.cases: list[dict[str, Any]] = json.loads((folder / "golden/index.json").read_text())["cases"]
        self._tensors = (folder / "golden/tensors.bin").read_bytes()

    def tensor(self, entry: dict[str, Any]) -> Array:
        """Read a tensor: raw, little-endian, the last axis varying fastest; of a large one each k-th."""
        dtype, every = np.dtype(entry["dtype"]).newbyteorder("<"), entry.get("every", 1)
        flat = np.zeros(int(np.prod(entry["shape"])), entry["dtype"])
        kept = flat[::every]
        kept[:] = np.frombuffer(self._tensors, dtype, kept.size, entry["offset"])
        return flat.reshape(entry["shape"])

    def call(self, model: Model, case: dict[str, Any]) -> tuple[dict[str, Array], State]:
        """Give the inputs of a case, by name, and the leaves of its state."""
        given = {name: self.tensor(entry) for name, entry in case["call"].items()}
        inputs = {spec["name"]: given[spec["name"]] for spec in model.inputs}
        return inputs, tuple(given[leaf["name"]] for leaf in model.leaves)

    def decided(self, case: dict[str, Any], name: str) -> Array:
        """Tell which numbers of a result are known: rounding may turn a whole number into another one."""
        undecided, entry = case.get("undecided", {}), case["float64"][name]
        known: Array = np.arange(int(np.prod(entry["shape"]))) % entry.get("every", 1) == 0
        return known & ~self.tensor(undecided[name]).ravel() if name in undecided else known


def results(model: Model, outputs: Any, state: State) -> dict[str, Array]:
    """Give all that came out, by name."""
    names = [leaf["output_name"] for leaf in model.leaves]
    return by_name(model.outputs, outputs) | dict(zip(names, state, strict=True))


def streamed(model: Model, case: dict[str, Any], inputs: dict[str, Array], state: State) -> tuple[Any, State]:
    """Run a sequence in single steps."""
    session = Session(model, case["batch"])
    session.reset(state)
    axes = {spec["name"]: time_axis(spec) for spec in model.inputs}
    steps = []
    for t in range(case["time"]):
        cut = {
            name: array if axes[name] is None else array.take(t, axes[name]) for name, array in inputs.items()
        }
        steps.append(by_name(model.outputs, session.step(cut)))
    return alone({spec["name"]: _joined(spec, steps) for spec in model.outputs}), session.state


def _joined(spec: dict[str, Any], steps: Sequence[dict[str, Array]]) -> Array:
    """Put an output of all time steps together; one without a time axis is that of the last."""
    axis = time_axis(spec)
    return steps[-1][spec["name"]] if axis is None else np.stack([step[spec["name"]] for step in steps], axis)


def compared(
    golden: Golden, case: dict[str, Any], how: str, got: dict[str, Array]
) -> Iterator[tuple[float, float, str]]:
    """Give for each result its error, its part of what is allowed, and what is wrong with it, if anything."""
    for name, entry in case["float64"].items():
        expected, result, allowed = golden.tensor(entry), got[name], case["tolerance"][name]
        if result.shape != expected.shape or (result.dtype.kind, expected.dtype.kind) not in KINDS:
            came = f"expected {entry['dtype']} {entry['shape']}, got {result.dtype} {list(result.shape)}"
            yield np.inf, np.inf, f"{case['name']} {how}: {name}: {came}"
            continue
        error, at = largest_error(result, expected, golden.decided(case, name))
        values = f"expected {expected.flat[at]:.9g}, got {result.flat[at]:.9g}"
        off = f"off by {error:.1e}, allowed {allowed:.1e}"
        problem = f"{case['name']} {how}: {name}[{at}]: {values}, {off}"
        passed = error <= allowed  # not so for NaN
        yield error, error / allowed if allowed else 0.0, "" if passed else problem


def largest_error(got: Array, expected: Array, decided: Array) -> tuple[float, int]:
    """Give how far a result is off, and where: by nothing, where both are the same infinity."""
    one, other = (array.ravel().astype(np.float64) for array in (got, expected))
    same = (one == other) | ~decided
    errors = np.where(same, 0.0, np.abs(np.subtract(one, other, where=~same, out=np.zeros_like(one))))
    at = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
    return float(errors[at]), at


def step_shape(spec: dict[str, Any]) -> list[int]:
    """Give the shape of a tensor of the manifest in one step of one row; other free sizes are 1."""
    return [1 if isinstance(size, str) else size for size in spec["shape"] if size != "time"]


def time_step(model: Model) -> float:
    """Measure the microseconds of a step of one row: the median of some rounds, after a few steps."""
    session = Session(model)
    step = alone({spec["name"]: np.zeros(step_shape(spec), spec["dtype"]) for spec in model.inputs})

    def one_of(steps: int) -> float:
        """Give the seconds of a step, of several in a row."""
        start = perf_counter()
        for _ in range(steps):
            session.step(step)
        return (perf_counter() - start) / steps

    steps = max(1, min(STEPS, int(SECONDS / one_of(STEPS // 100))))
    return median(one_of(steps) for _ in range(ROUNDS)) * 1e6


def runtimes(folder: Path) -> list[str]:
    """Name the runtimes that a bundle has files for."""
    return ["onnxruntime", "c"] if (folder / "model.c").exists() else ["onnxruntime"]


def check(folder: Path, runtime: str) -> bool:
    """Check a bundle in one runtime; print what was found."""
    model, golden = load(folder, runtime), Golden(folder)
    found: list[tuple[float, float, str]] = []
    count = 0
    for case in golden.cases:
        inputs, state = golden.call(model, case)
        found += compared(golden, case, "whole", results(model, *model.run(inputs, state)))
        if case["kind"] == "run":
            found += compared(golden, case, "streamed", results(model, *streamed(model, case, inputs, state)))
            count += 1
    who = f"{model.name} ({runtime})"
    problems = [problem for *_, problem in found if problem] or ([] if found else ["no golden vectors"])
    if problems:
        print(f"{who}: {problems[0]}", file=sys.stderr)
        return False
    error, share = (max(values) for values in list(zip(*found, strict=True))[:2])
    vectors = f"{len(golden.cases)} vectors whole, {count} streamed"
    errors = f"worst error {error:.1e} ({share:.0%} of allowed)"
    print(f"{who}: {vectors}, {errors}, {time_step(model):.2f} us per step")
    return True


def main() -> None:
    """Check every bundle in ONNX Runtime, and where it has C, in C."""
    if len(sys.argv) < 2:
        print(f"usage: {sys.argv[0]} FOLDER...", file=sys.stderr)
        sys.exit(2)
    try:
        checks = [check(Path(name), runtime) for name in sys.argv[1:] for runtime in runtimes(Path(name))]
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.exit(not all(checks))


if __name__ == "__main__":
    main()
