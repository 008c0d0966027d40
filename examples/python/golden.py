"""golden.py FOLDER...: run golden vectors, whole and step by step, and compare with eager's results."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from recurrent import Array, Model, Session, State, load, time_axis

ROUNDS, STEPS = 11, 1000
SECONDS = 0.2  # for a round, at the most


class Golden:
    """The vectors of a bundle."""

    def __init__(self, folder: Path) -> None:
        self.cases: list[dict[str, Any]] = json.loads((folder / "golden/index.json").read_text())["cases"]
        self._tensors = (folder / "golden/tensors.bin").read_bytes()

    def tensor(self, entry: dict[str, Any]) -> Array:
        """Read a tensor: raw, little-endian, the last axis varying fastest."""
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        flat = np.frombuffer(self._tensors, dtype, int(np.prod(entry["shape"])), entry["offset"])
        return flat.reshape(entry["shape"]).astype(entry["dtype"])

    def call(self, case: dict[str, Any]) -> tuple[Array, State]:
        """Give the inputs and the state of a case."""
        inputs, *state = (self.tensor(entry) for entry in case["call"].values())
        return inputs, tuple(state)


def streamed(model: Model, inputs: Array, state: State) -> tuple[Array, State]:
    """Run a sequence in single steps."""
    session = Session(model, state[0].shape[model.leaves[0]["shape"].index("batch")])
    session.reset(state)
    steps = [session.step(step) for step in np.moveaxis(inputs, time_axis(model.inputs) or 0, 0)]
    axis = time_axis(model.outputs)
    return (steps[-1] if axis is None else np.stack(steps, axis)), session.state


def compared(
    golden: Golden, case: dict[str, Any], how: str, results: Sequence[Array]
) -> Iterator[tuple[float, float, str]]:
    """Give for each result its error, its part of what is allowed, and what is wrong with it, if anything."""
    for (name, entry), result in zip(case["float64"].items(), results, strict=True):
        expected, allowed = golden.tensor(entry).ravel(), case["tolerance"][name]
        if result.shape != golden.tensor(entry).shape:
            shapes = f"expected the shape {entry['shape']}, got {list(result.shape)}"
            yield np.inf, np.inf, f"{case['name']} {how}: {name}: {shapes}"
            continue
        errors = np.abs(result.ravel() - expected)
        at = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
        problem = (
            f"{case['name']} {how}: {name}[{at}]: expected {expected[at]:.9g}, got {result.ravel()[at]:.9g}, "
            f"off by {errors[at]:.1e}, allowed {allowed:.1e}"
        )
        passed = errors[at] <= allowed  # not so for NaN
        yield float(errors[at]), float(errors[at] / allowed) if allowed else 0.0, "" if passed else problem


def time_step(model: Model) -> float:
    """Measure the microseconds of a step of one row: the median of some rounds, after a few steps."""
    session, inputs = Session(model), model.inputs
    step = np.zeros([1, *(size for size in inputs["shape"] if isinstance(size, int))], inputs["dtype"])

    def one_of(steps: int) -> float:
        """Give the seconds of a step, of several in a row."""
        start = perf_counter()
        for _ in range(steps):
            session.step(step)
        return (perf_counter() - start) / steps

    steps = max(1, min(STEPS, int(SECONDS / one_of(STEPS // 100))))
    return median(one_of(steps) for _ in range(ROUNDS)) * 1e6


def check(folder: Path, runtime: str) -> bool:
    """Check a bundle in one runtime; print what was found."""
    model, golden = load(folder, runtime), Golden(folder)
    found: list[tuple[float, float, str]] = []
    count = 0
    for case in golden.cases:
        inputs, state = golden.call(case)
        outputs, after = model.run(inputs, state)
        found += compared(golden, case, "whole", (outputs, *after))
        if case["kind"] == "run":
            outputs, after = streamed(model, inputs, state)
            found += compared(golden, case, "streamed", (outputs, *after))
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
    """Check every bundle in both runtimes."""
    if len(sys.argv) < 2:
        print(f"usage: {sys.argv[0]} FOLDER...", file=sys.stderr)
        sys.exit(2)
    try:
        checks = [check(Path(name), runtime) for name in sys.argv[1:] for runtime in ("onnxruntime", "c")]
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.exit(not all(checks))


if __name__ == "__main__":
    main()
