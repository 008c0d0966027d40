"""Eager PyTorch over the grid, and every file compared with it: the fifth stage of an export."""

from dataclasses import dataclass, replace
from math import exp

from rnn_export.backends.write import Written
from rnn_export.bundle import golden
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.description import describe
from rnn_export.bundle.golden import Case, Dynamics
from rnn_export.bundle.layout import MODEL_C
from rnn_export.errors import VerificationError, mismatch
from rnn_export.module.subject import Subject
from rnn_export.progress import ProgressCallback
from rnn_export.runtimes.process import Workers
from rnn_export.verification import grid, tolerance
from rnn_export.verification.verify import VerificationReport, check_bundle

LEAST_HORIZON = 2  # time steps: fewer, and how the state is handed on could not be seen


@dataclass(frozen=True)
class Verified:
    """The files of a model with golden vectors beside them, and what the check of each file gave."""

    written: Written
    bundle: Bundle
    report: VerificationReport


def verify_files(written: Written, report_progress: ProgressCallback, workers: Workers) -> Verified:
    """Write golden vectors beside the files, and compare every file with them.

    Raises:
        VerificationError: the net amplifies rounding errors so much that no two time steps can be compared.
    """
    subject = written.improved.captured.subject
    workers.prepare("c", written.folder / MODEL_C)
    report_progress("Running eager PyTorch over the grid", 0, 1)
    vectors = grid.build(subject)
    _check_horizon(vectors.dynamics, subject)
    golden.write(written.folder, vectors, subject.signature, _tolerances(vectors.cases, subject))
    manifest = describe(subject, written.folder, written.name, written.metadata, written.improved.summary)
    bundle = Bundle(written.folder, manifest)
    report_progress("Verifying", 0, 1)
    report = replace(check_bundle(bundle, report_progress, workers), left_out=written.left_out)
    return Verified(written, bundle, report)


def _check_horizon(dynamics: Dynamics | None, subject: Subject) -> None:
    """Refuse a net of which no two time steps can be compared."""
    if dynamics is None or dynamics.horizon is None or dynamics.horizon >= LEAST_HORIZON:
        return
    raise VerificationError(
        mismatch(
            f"{type(subject.original).__name__}, time steps for which two implementations can agree",
            f"at least {LEAST_HORIZON}",
            f"{dynamics.horizon}: a difference of the state grows {exp(dynamics.exponent):.3g} times a step",
            "Nothing was written. Make its recurrent weights smaller.",
        )
    )


def _tolerances(cases: list[Case], subject: Subject) -> dict[str, list[float]]:
    """Give one number a result for clients in other languages: the largest bound of its units."""
    bounds = tolerance.bounds(cases, subject.signature)
    return {case: [float(units.max(initial=0)) for units in results] for case, results in bounds.items()}
