"""Cases x runtimes -> report: is every file of a bundle equal to eager PyTorch?

Two questions are kept apart. *Is each step right?* Single steps from states that eager reached: errors cannot
compound. *Does the whole run agree?* Sequences run from their start, whole, and cut in pieces with the state
handed on. What "equal" means stands in :mod:`rnn_export.tolerance`.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export import tolerance
from rnn_export.bundle import Bundle, Manifest
from rnn_export.errors import BundleError
from rnn_export.golden import RUN, STEP, Case
from rnn_export.runtimes import RUNTIMES, Runtime, worker
from rnn_export.signature import Array, Signature

PASSED = "passed"
FAILED = "failed"
NOT_CHECKED = "not checked"
MODES = ("step", "whole", "cut")

TIME_LIMIT = 1800.0  # seconds for one file in one runtime; a file that hangs has failed
PACKAGE_PARENT = Path(__file__).resolve().parents[1]
BOOT = "import sys; sys.path[:0] = {paths!r}; from rnn_export.runtimes.worker import main; main()"

# Told while it works: what is being done, how many parts of it are done, of how many.
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measure:
    """Errors against float64 over some cases.

    Attributes:
        error: the worst of the file; infinite where a shape or a NaN differs or a call failed.
        eager: the worst of eager PyTorch in the file's dtype, on the same calls.
        share: the worst share that an error has of what is allowed; at most 1 is right.
        cases: the number of calls.
    """

    error: float
    eager: float
    share: float
    cases: int


@dataclass(frozen=True)
class Check:
    """What one runtime made of one file: single steps, whole runs, and runs cut in pieces."""

    file: str
    runtime: str
    verdict: str
    step: Measure | None = None
    whole: Measure | None = None
    cut: Measure | None = None
    detail: str = ""

    @property
    def measures(self) -> list[Measure]:
        """What was measured."""
        return [measure for measure in (self.step, self.whole, self.cut) if measure]

    @property
    def worst(self) -> Measure | None:
        """The measurement with the largest share of what is allowed."""
        return max(self.measures, key=lambda measure: measure.share, default=None)


@dataclass(frozen=True)
class VerificationReport:
    """All checks of a bundle: each file in each runtime, on which lengths and batches.

    ``whole_only`` says why sequences were not cut; it is empty where they were. ``left_out`` says which forms
    of the model were tried at the export, were wrong, and are not in the bundle.
    """

    name: str
    checks: tuple[Check, ...]
    grid: dict[str, list[int]]
    whole_only: str
    left_out: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and no file went unchecked of which that is not allowed."""
        checked = {
            check.file for check in self.checks if check.verdict == PASSED or RUNTIMES[check.runtime].optional
        }
        return all(check.verdict != FAILED and check.file in checked for check in self.checks)

    def without(self, files: Sequence[str]) -> "VerificationReport":
        """Leave files out, and say why."""
        failed = [check for check in self.checks if check.file in files and check.verdict == FAILED]
        reasons = tuple(f"{check.file} in {check.runtime}: {check.detail}" for check in failed)
        kept = tuple(check for check in self.checks if check.file not in files)
        return replace(self, checks=kept, left_out=self.left_out + reasons)

    def renamed(self, old: str, new: str) -> "VerificationReport":
        """Let a file's checks be those of another name, in the order of the names."""
        checks = (replace(check, file=new) if check.file == old else check for check in self.checks)
        return replace(self, checks=_in_order(checks))

    def copied(self, old: str, new: str) -> "VerificationReport":
        """Let a file's checks be those of another name as well."""
        copies = tuple(replace(check, file=new) for check in self.checks if check.file == old)
        return replace(self, checks=_in_order(self.checks + copies))

    def to_json(self) -> dict[str, Any]:
        """Give plain data for the manifest and for scripts; what is infinite becomes ``null``."""
        return {
            "passed": self.passed,
            "whole_only": self.whole_only,
            "grid": self.grid,
            "tolerance": {
                "factor": tolerance.FACTOR,
                "floor": tolerance.FLOOR,
                "rule": "|file - float64| <= factor * |eager float32 - float64| + floor * eps * |float64|, "
                "per unit, eager's worst over single steps and runs no longer",
            },
            "checks": [_finite(asdict(check)) for check in self.checks],
            "left_out": list(self.left_out),
        }

    @classmethod
    def stored(cls, manifest: Manifest) -> "VerificationReport":
        """Give the report that a bundle was written with."""
        data = manifest.verification

        def check(entry: dict[str, Any]) -> Check:
            modes = {mode: Measure(**entry[mode]) if entry[mode] else None for mode in MODES}
            return Check(**{**entry, **modes})

        return cls(
            manifest.name,
            tuple(map(check, data["checks"])),
            data["grid"],
            data["whole_only"],
            tuple(data["left_out"]),
        )


def verify(folder: str | Path, progress: Tell | None = None) -> VerificationReport:
    """Check a bundle from its folder alone, after checking every file's sha256.

    Every file is loaded in a fresh process, in every runtime that is installed, and compared with the
    golden vectors. A runtime that is not installed is reported as not checked, never as passed.

    Raises:
        BundleError: there is no bundle, a file is not the one that was written, or the system is at fault: a
            full disk where C is built, a folder that was removed.
    """
    return check_bundle(Bundle.open(folder), progress)


def check_bundle(bundle: Bundle, progress: Tell | None = None) -> VerificationReport:
    """Check the files of an open bundle in every runtime."""
    cases, signature = bundle.cases, bundle.signature
    allowed = tolerance.bounds(cases, signature)
    pairs = [
        (file, runtime)
        for file in bundle.manifest.files
        for runtime in RUNTIMES.values()
        if file.endswith(runtime.suffix)
    ]
    done: dict[tuple[str, str], Check] = {}
    with ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, len(pairs)))) as pool:
        futures = [pool.submit(_check, bundle, file, runtime, cases, allowed) for file, runtime in pairs]
        for number, future in enumerate(as_completed(futures), start=1):
            check = future.result()
            done[check.file, check.runtime] = check
            if progress:
                progress(f"Verified {check.file} in {check.runtime}", number, len(pairs))
    return VerificationReport(
        bundle.manifest.name,
        tuple(done[file, runtime.name] for file, runtime in pairs),
        _grid(cases),
        signature.whole_only,
        tuple(bundle.manifest.verification.get("left_out", ())),
    )


def _in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(sorted(checks, key=lambda check: (check.file, check.runtime)))


def _grid(cases: Iterable[Case]) -> dict[str, list[int]]:
    runs = [case for case in cases if case.kind == RUN]
    return {
        "time": sorted({case.time for case in runs}),
        "batch": sorted({case.batch for case in runs}),
    }


def _check(
    bundle: Bundle, file: str, runtime: Runtime, cases: Sequence[Case], allowed: dict[str, list[Array]]
) -> Check:
    if not runtime.installed:
        return Check(file, runtime.name, NOT_CHECKED, detail=f"{runtime.package} is not installed")
    answer, failure = _run_worker(bundle, file, runtime)
    if failure:
        if not (bundle.folder / file).exists():
            failure = f"{bundle.folder / file} was removed meanwhile"
            raise BundleError(f"{file} cannot be checked in {runtime.name}: {failure}. Try again.")
        return Check(file, runtime.name, FAILED, detail=failure)
    with np.load(io.BytesIO(answer), allow_pickle=False) as archive:
        if worker.FAULT in archive:
            raise BundleError(f"{file} cannot be checked in {runtime.name}: {archive[worker.FAULT]}")
        if worker.UNAVAILABLE in archive:
            return Check(file, runtime.name, NOT_CHECKED, detail=str(archive[worker.UNAVAILABLE]))
        return _judge(file, runtime.name, dict(archive), cases, allowed, bundle.signature)


def _run_worker(bundle: Bundle, file: str, runtime: Runtime) -> tuple[bytes, str]:
    """Run all cases in a fresh process; give its answer, and what went wrong if something did."""
    request = {
        "folder": str(bundle.folder.resolve()),
        "file": file,
        "runtime": runtime.name,
        "signature": bundle.signature.to_json(),
        "blocked": bundle.manifest.model["source_modules"],
        "asked_by": os.getpid(),
    }
    paths = [str(PACKAGE_PARENT), *filter(None, sys.path)]
    try:
        finished = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-c", BOOT.format(paths=paths)],
            input=json.dumps(request).encode(),
            capture_output=True,
            check=False,
            timeout=TIME_LIMIT,
            cwd=PACKAGE_PARENT.anchor,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        return b"", f"did not finish within {TIME_LIMIT:.0f} s"
    if finished.returncode:
        last = finished.stderr.decode(errors="replace").strip().splitlines()[-3:]
        return b"", f"the process ended with status {finished.returncode}: {' '.join(last)}"
    return finished.stdout, ""


def _judge(
    file: str,
    runtime: str,
    results: dict[str, Array],
    cases: Sequence[Case],
    allowed: dict[str, list[Array]],
    signature: Signature,
) -> Check:
    found = {mode: _deviations(mode, results, cases, allowed, signature) for mode in MODES}
    measures = {mode: _measure(pairs, signature) for mode, pairs in found.items() if pairs}
    name, worst = max(
        ((f"{case.name} {mode}", deviation) for mode, pairs in found.items() for case, deviation in pairs),
        key=lambda pair: pair[1].share,
        default=("", tolerance.Deviation(0.0, 0.0, "")),
    )
    check = Check(file, runtime, FAILED, measures.get("step"), measures.get("whole"), measures.get("cut"))
    missing = _missing(cases, signature, measures)
    if worst.share <= 1 and not missing:
        return replace(check, verdict=PASSED)
    detail = missing or f"{name}: {worst.where}"
    if not missing and "step" in measures and measures["step"].share <= 1:
        detail += (
            " (each single step is right: the state is handed on wrongly, or the net amplifies rounding)"
        )
    return replace(check, detail=detail)


def _deviations(
    mode: str,
    results: dict[str, Array],
    cases: Sequence[Case],
    allowed: dict[str, list[Array]],
    signature: Signature,
) -> list[tuple[Case, tolerance.Deviation]]:
    """Compare what the worker left for one way of running the cases."""
    errors: dict[str, str] = json.loads(str(results[worker.ERRORS]))
    found = []
    for case in cases:
        key = f"{case.name}/{mode}"
        if key in errors:
            found.append((case, tolerance.Deviation(np.inf, np.inf, errors[key])))
        elif f"{key}/0" in results:
            arrays = [results[f"{key}/{number}"] for number in range(len(signature.results))]
            found.append((case, tolerance.deviation(case, arrays, allowed[case.name], signature)))
    return found


def _measure(pairs: Sequence[tuple[Case, tolerance.Deviation]], signature: Signature) -> Measure:
    return Measure(
        error=max(deviation.error for _, deviation in pairs),
        eager=max(tolerance.eager_error(case, signature) for case, _ in pairs),
        share=max(deviation.share for _, deviation in pairs),
        cases=len(pairs),
    )


def _missing(cases: Sequence[Case], signature: Signature, measures: dict[str, Measure]) -> str:
    """Say if a question was not asked of every case: silence is not a pass."""
    runs = sum(case.kind == RUN for case in cases)
    steps = sum(case.kind == STEP for case in cases)
    expected = {"step": steps, "whole": runs, "cut": runs if signature.streamable else 0}
    got = {mode: measures[mode].cases if mode in measures else 0 for mode in expected}
    return "" if got == expected and runs else f"expected results of {expected} cases, got {got}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(child) for key, child in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
