"""Cases x runtimes -> report: is every file of a bundle equal to eager PyTorch?

Two questions are kept apart. *Is each step right?* Single steps from states that eager reached: errors cannot
compound. *Does the whole run agree?* Sequences run from their start, whole, and cut in pieces with the state
handed on. What "equal" means stands in :mod:`rnn_export.verification.tolerance`.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export import workers as process
from rnn_export.bundle.bundle import Bundle, Manifest
from rnn_export.bundle.golden import RUN, Case, Dynamics
from rnn_export.bundle.untrusted import schema
from rnn_export.errors import BundleError, mismatch
from rnn_export.notebook import table
from rnn_export.progress import ProgressCallback
from rnn_export.runtimes import worker
from rnn_export.runtimes.table import RUNTIMES, Runtime
from rnn_export.signature.as_json import to_json
from rnn_export.verification import tolerance, verdict
from rnn_export.verification.compare import FAILED, NOT_CHECKED, PASSED, Check, Curve, Standard, compare
from rnn_export.workers import Workers

HEADING = "File", "Runtime", "Worst error", "Eager's own", "Of allowed", "Verdict"
LIMITS = 60.0, 1.0  # seconds of the processor that a run may take, and more for each of its time steps


@dataclass(frozen=True)
class VerificationReport:
    """All checks of a bundle: each file in each runtime, on which lengths and batches.

    ``not_streamable_because`` is the reason why sequences were not cut, or ``None``. ``left_out`` says which
    forms of the model were tried at the export, were wrong, and are not in the bundle. ``dynamics`` says what
    the net does to rounding errors, where that could be measured, and for how long implementations can
    agree. ``unnoticed`` names the parameters and buffers whose change by 1 % no golden vector notices,
    ``inexact`` the functions that ONNX Runtime computes less exactly than PyTorch, and where. ``required``
    names what has to be there and to have passed, by the ending of ``model.*`` or by the runtime. ``quick``
    is whether only few sizes were tried.
    """

    name: str
    checks: tuple[Check, ...]
    grid: dict[str, list[int]]
    not_streamable_because: str | None
    curve: Curve
    dynamics: Dynamics | None = None
    left_out: tuple[str, ...] = ()
    unnoticed: tuple[str, ...] = ()
    inexact: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    quick: bool = False

    @property
    def passed(self) -> bool:
        """Whether no check failed, every file was checked that has to be, and what is required passed."""
        checked = {
            check.file for check in self.checks if check.verdict == PASSED or RUNTIMES[check.runtime].optional
        }
        right = all(check.verdict != FAILED and check.file in checked for check in self.checks)
        return right and not self.unmet

    @property
    def unmet(self) -> list[str]:
        """What is required and did not pass, and why."""
        return verdict.unmet(self.checks, self.left_out, self.required)

    @property
    def verdict(self) -> str:
        """The report in one sentence: how many files agree, and what was not checked."""
        return verdict.sentence(
            self.checks, self.unmet, passed=self.passed, quick=self.quick, left_out=self.left_out
        )

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A row for each check: what ``HEADING`` says."""
        return [(check.file, check.runtime, *_numbers(check), check.verdict) for check in self.checks]

    def __repr__(self) -> str:
        modes = "whole sequences only" if self.not_streamable_because else "whole, cut, and step by step"
        tried = f"T in {self.grid['time']} x B in {self.grid['batch']}, {modes}"
        worst = max((check for check in self.checks if check.worst), key=_share, default=None)
        numbers = f"{', '.join(_numbers(worst))} in {worst.file}" if worst else "nothing was measured"
        return (
            f"VerificationReport of {self.name!r}: {self.verdict}\n"
            f"  worst error, eager's own, share of what is allowed: {numbers}\n"
            f"  {tried}"
        )

    def _repr_html_(self) -> str:
        return table(repr(self).splitlines()[0], HEADING, self.rows)

    def requiring(self, words: Sequence[str]) -> "VerificationReport":
        """Let the report fail if one of these did not pass."""
        return replace(self, required=tuple(words))

    def without(self, files: Sequence[str]) -> "VerificationReport":
        """Leave files out, and say why."""
        failed = [check for check in self.checks if check.file in files and check.verdict == FAILED]
        reasons = tuple(f"{check.file} in {check.runtime}: {check.detail}" for check in failed)
        kept = tuple(check for check in self.checks if check.file not in files)
        return replace(self, checks=kept, left_out=self.left_out + reasons)

    def with_checks_of(self, other: "VerificationReport") -> "VerificationReport":
        """Add the checks of other files."""
        return replace(self, checks=_in_order(self.checks + other.checks))

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
            "whole_only": self.not_streamable_because or "",
            "grid": self.grid,
            "tolerance": {
                "factor": tolerance.FACTOR,
                "floor": tolerance.FLOOR,
                "rule": "|file - float64| <= factor * |eager float32 - float64| + floor * eps * |float64|, "
                "per unit, eager's worst over single steps and runs no longer; "
                "see rnn_export/verification/tolerance.py",
            },
            "dynamics": self.dynamics and asdict(self.dynamics),
            "curve": _finite(asdict(self.curve)),
            "checks": [_finite(asdict(check)) for check in self.checks],
            "left_out": list(self.left_out),
            "unnoticed": list(self.unnoticed),
            "inexact": list(self.inexact),
            "quick": self.quick,
        }

    @classmethod
    def stored(cls, manifest: Manifest) -> "VerificationReport":
        """Give the report that a bundle was written with.

        Raises:
            BundleError: the manifest holds none.
        """
        where = f"the manifest of {manifest.name!r}, verification"
        found = {"name": manifest.name, **manifest.verification}
        found["not_streamable_because"] = found.pop("whole_only", None) or None
        report = schema.typed(found, cls, where)
        unknown = {check.runtime for check in report.checks} - set(RUNTIMES)
        if unknown:
            raise BundleError(mismatch(where, f"runtimes of {[*RUNTIMES]}", unknown, "Update rnn-export."))
        return report


def verify(
    folder: str | Path, progress: ProgressCallback | None = None, *, require: str | Sequence[str] = ()
) -> VerificationReport:
    """Check a bundle from its folder alone, after checking every file's sha256.

    Every file is loaded in a fresh process, in every runtime that is installed, and compared with the
    golden vectors. A runtime that is not installed is reported as not checked, never as passed. The report
    fails if something of ``require`` did not pass: endings of ``model.*``, as ``["c", "onnx"]``, or runtimes.

    Raises:
        InputError: there is no such ending or runtime.
        BundleError: there is no bundle, a file is not the one that was written, or the system is at fault: a
            full disk where C is built, a folder that was removed.
    """
    required = verdict.demanded(require)
    return check_bundle(Bundle.open(folder), progress).requiring(required)


@contextmanager
def workers_ahead() -> Iterator[Workers]:
    """Start workers for the runtimes that are installed, which they import while no file is there yet.

    One for each, and for each file that checks begin with at the same time where the import is not shared.
    """
    with Workers() as workers:
        installed = [runtime for runtime in RUNTIMES.values() if runtime.installed]
        shared = [runtime.name for runtime in installed if runtime.shared]
        beside = {runtime.name: runtime.beside for runtime in installed if runtime.beside}
        ahead = (name for runtime in installed for name in [runtime.name] * runtime.ahead)
        workers.start(ahead, shared, beside)
        yield workers


def _now(unfinished: Collection[tuple[str, Runtime]]) -> str:
    """Say what is being checked: the first of what is not done, which began before the others.

    >>> _now([("model.onnx", RUNTIMES["onnxruntime"]), ("model.c", RUNTIMES["c"])])
    'Verifying model.onnx in onnxruntime, and 1 more'
    """
    if not unfinished:
        return "Verified"
    file, runtime = next(iter(unfinished))
    others = len(unfinished) - 1
    return f"Verifying {file} in {runtime.name}{f', and {others} more' if others else ''}"


def check_bundle(
    bundle: Bundle,
    progress: ProgressCallback | None = None,
    workers: Workers | None = None,
    files: Collection[str] | None = None,
) -> VerificationReport:
    """Check the files of an open bundle in every runtime, or some; the workers may have been started."""
    if workers is None:
        with Workers() as started:
            return check_bundle(bundle, progress, started, files)
    _check_start(bundle)
    standard = Standard(bundle.cases, bundle.signature)
    pairs = [
        (file, runtime)
        for file in (bundle.manifest.files if files is None else files)
        for runtime in RUNTIMES.values()
        if file.endswith(runtime.suffix)
    ]
    done: dict[tuple[str, str], Check] = {}
    with ThreadPoolExecutor(max(1, min(os.cpu_count() or 1, len(pairs)))) as pool:
        unfinished = {pool.submit(_check, bundle, *pair, standard, workers): pair for pair in pairs}
        tell = progress or (lambda *_: None)
        tell(_now(unfinished.values()), 0, len(pairs))
        for number, future in enumerate(as_completed([*unfinished]), start=1):
            check = future.result()
            done[check.file, check.runtime] = check
            del unfinished[future]
            tell(_now(unfinished.values()), number, len(pairs))
    return VerificationReport(
        bundle.manifest.name,
        tuple(done[file, runtime.name] for file, runtime in pairs),
        _grid(bundle.cases),
        bundle.signature.not_streamable_because,
        standard.curve,
        bundle.golden.dynamics,
        tuple(bundle.manifest.verification.get("left_out", ())),
        tuple(bundle.manifest.verification.get("unnoticed", ())),
        tuple(bundle.manifest.verification.get("inexact", ())),
        quick=bool(bundle.manifest.verification.get("quick", False)),
    )


def _check_start(bundle: Bundle) -> None:
    """Check that golden runs begin with the initial state that the manifest names."""
    signature = bundle.signature
    runs = [case for case in bundle.cases if case.kind == RUN]
    begun = (zip(case.state, signature.initial_state(case.batch), strict=True) for case in runs)
    if not any(all(np.array_equal(one, other, equal_nan=True) for one, other in pairs) for pairs in begun):
        raise BundleError(
            mismatch(
                f"golden runs of {bundle.manifest.name!r}",
                "one that begins with the initial state of the manifest",
                "none",
                "Export the bundle again.",
            )
        )


def _in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(sorted(checks, key=lambda check: (check.file, check.runtime)))


def _grid(cases: Iterable[Case]) -> dict[str, list[int]]:
    runs = [case for case in cases if case.kind == RUN]
    return {
        "time": sorted({case.time for case in runs}),
        "batch": sorted({case.batch for case in runs}),
    }


def _check(bundle: Bundle, file: str, runtime: Runtime, standard: Standard, workers: Workers) -> Check:
    if not runtime.installed:
        return Check(file, runtime.name, NOT_CHECKED, detail=f"{runtime.package} is not installed")
    answer, failure = _run_worker(bundle, file, runtime, worker.largest_answer(standard.cases), workers)
    if failure:
        if not (bundle.folder / file).exists():
            failure = f"{bundle.folder / file} was removed meanwhile"
            raise BundleError(f"{file} cannot be checked in {runtime.name}: {failure}. Try again.")
        return Check(file, runtime.name, FAILED, detail=failure.replace(f"{bundle.folder.resolve()}/", ""))
    try:
        found = worker.read_results(answer, standard.cases)
    except BundleError as error:
        return Check(file, runtime.name, FAILED, detail=str(error))
    if worker.FAULT in found:
        raise BundleError(f"{file} cannot be checked in {runtime.name}: {found[worker.FAULT]}")
    if worker.BROKEN in found:
        return Check(file, runtime.name, FAILED, detail=str(found[worker.BROKEN]))
    if worker.UNAVAILABLE in found:
        return Check(file, runtime.name, NOT_CHECKED, detail=str(found[worker.UNAVAILABLE]))
    check = compare(file, runtime.name, found, standard, runtime.reach(file))
    empty = str(found.get(worker.EMPTY, "no empty call was made"))
    return replace(check, verdict=FAILED, detail=empty) if empty and check.verdict == PASSED else check


def _run_worker(
    bundle: Bundle, file: str, runtime: Runtime, limit: int, workers: Workers
) -> tuple[bytes, str]:
    """Run all cases in a fresh process; give its answer, and what went wrong if something did."""
    request = {
        "task": "verify",
        "folder": str(bundle.folder.resolve()),
        "files": bundle.manifest.files,
        "file": file,
        "runtime": runtime.name,
        "signature": to_json(bundle.signature),
        "limits": LIMITS,
        "parameters": bundle.manifest.model["parameters"],
        "blocked": bundle.manifest.model["source_modules"],
    }
    return process.ask(request, limit, workers)


def _numbers(check: Check) -> tuple[str, str, str]:
    worst = check.worst
    return (f"{worst.error:.1e}", f"{worst.eager:.1e}", f"{worst.share:.0%}") if worst else ("", "", "")


def _share(check: Check) -> float:
    return check.worst.share if check.worst else 0.0


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(child) for key, child in value.items()}
    if isinstance(value, tuple):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
