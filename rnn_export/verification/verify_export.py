"""Eager PyTorch over the grid, and every file compared with it: the fifth stage of an export."""

from dataclasses import dataclass, replace
from math import exp

from rnn_export.backends import torchscript
from rnn_export.backends.write import Written, copies
from rnn_export.bundle import golden
from rnn_export.bundle.bundle import Bundle, describe_files
from rnn_export.bundle.description import describe
from rnn_export.bundle.golden import Dynamics
from rnn_export.bundle.layout import MODEL_PT, STEP_ONNX, variant
from rnn_export.bundle.thinned import thinned
from rnn_export.capture.capture import loop_around_step
from rnn_export.errors import ScriptError, VerificationError, class_name, mismatch, warn
from rnn_export.garbage import give_back
from rnn_export.module.subject import Subject
from rnn_export.progress import ProgressCallback
from rnn_export.signature.tensors import Array
from rnn_export.verification import grid, tolerance
from rnn_export.verification.compare import FAILED
from rnn_export.verification.sensitivity import unnoticed_weights
from rnn_export.verification.verify import VerificationReport, check_bundle
from rnn_export.workers import Workers

LEAST_HORIZON = 2  # time steps: fewer, and how the state is handed on could not be seen


@dataclass(frozen=True)
class Verified:
    """The files of a model with golden vectors beside them, and what the check of each file gave."""

    written: Written
    bundle: Bundle
    report: VerificationReport


def verify_files(
    written: Written, report_progress: ProgressCallback, workers: Workers, *, quick: bool = False
) -> Verified:
    """Write golden vectors beside the files, and compare every file with them, of few sizes if ``quick``.

    Raises:
        VerificationError: the net amplifies rounding errors so much that no two time steps can be compared.
    """
    subject = written.improved.captured.subject
    report_progress("Running eager PyTorch over the grid", 0, 1)
    vectors = thinned(grid.build(subject, quick=quick), subject.signature)
    _check_horizon(vectors.dynamics, subject)
    allowed = tolerance.bounds(vectors.cases, subject.signature)
    golden.write(written.folder, vectors, subject.signature, _tolerances(allowed))
    unnoticed = unnoticed_weights(subject, vectors.cases, allowed)
    if unnoticed:
        warn(
            f"No golden vector notices a change of 1 % in {', '.join(unnoticed)}: no input that was drawn "
            "reaches it, or nothing comes of it. A file in which it is wrong would pass."
        )
    manifest = describe(subject, written.folder, written.name, written.metadata, written.improved.summary)
    bundle = Bundle(written.folder, manifest)
    report_progress("Verifying", 0, 1)
    give_back()  # the workers need memory, too
    report = check_bundle(bundle, report_progress, workers)
    report = replace(report, left_out=written.left_out, unnoticed=tuple(unnoticed), quick=quick)
    verified = _exact_form(Verified(written, bundle, report), report_progress, workers)
    verified = _exact_step(verified, report_progress, workers)
    return _second_script(verified, report_progress, workers)


def _exact_form(verified: Verified, report_progress: ProgressCallback, workers: Workers) -> Verified:
    """Add a form that is exact where ONNX Runtime's functions are not, if every form is wrong."""
    written, report = verified.written, verified.report
    before = written.improved
    wrong = {check.file for check in report.checks if check.verdict == FAILED}
    if not all(variant(form) in wrong for form in before.forms):
        return verified
    improved = before.with_exact()
    added = {form: improved.forms[form] for form in improved.forms.keys() - before.forms.keys()}
    if not added:
        return verified
    written = written.with_forms(improved, copies(added))
    bundle = _described(verified.bundle)
    second = check_bundle(bundle, report_progress, workers, [variant(form) for form in added])
    return Verified(written, bundle, report.with_checks_of(second))


def _exact_step(verified: Verified, report_progress: ProgressCallback, workers: Workers) -> Verified:
    """Replace a wrong ``step.onnx`` by one that is exact where ONNX Runtime's functions are not."""
    written, report = verified.written, verified.report
    wrong = any(check.file == STEP_ONNX and check.verdict == FAILED for check in report.checks)
    if not wrong or not written.inexact[STEP_ONNX]:
        return verified
    written = written.with_step(exact=True)
    bundle = _described(verified.bundle)
    second = check_bundle(bundle, report_progress, workers, [STEP_ONNX])
    if any(check.verdict == FAILED for check in second.checks):
        return verified
    kept = tuple(check for check in report.checks if check.file != STEP_ONNX)
    return Verified(written, bundle, replace(report, checks=kept).with_checks_of(second))


def _second_script(verified: Verified, report_progress: ProgressCallback, workers: Workers) -> Verified:
    """Replace a ``model.pt`` that is wrong as TorchScript compiles the module: by a loop around its step."""
    report, captured = verified.report, verified.written.improved.captured
    wrong = any(check.file == MODEL_PT and check.verdict == FAILED for check in report.checks)
    if captured.loop is None or not wrong:
        return verified
    report, folder = report.without([MODEL_PT]), verified.written.folder
    try:
        torchscript.write(loop_around_step(captured.subject), folder / MODEL_PT)
    except ScriptError as error:
        (folder / MODEL_PT).unlink()
        reason = f"{MODEL_PT} with a loop around the traced step: {error.reason}"
        return replace(verified, report=replace(report, left_out=(*report.left_out, reason)))
    bundle = _described(verified.bundle)
    second = check_bundle(bundle, report_progress, workers, [MODEL_PT])
    return Verified(verified.written, bundle, report.with_checks_of(second))


def _described(bundle: Bundle) -> Bundle:
    """Give a bundle with the files that are there now."""
    return replace(bundle, manifest=replace(bundle.manifest, files=describe_files(bundle.folder)))


def _check_horizon(dynamics: Dynamics | None, subject: Subject) -> None:
    """Refuse a net of which no two time steps can be compared."""
    if dynamics is None or dynamics.horizon is None or dynamics.horizon >= LEAST_HORIZON:
        return
    grows = f"a difference of the state grows {exp(dynamics.exponent):.3g} times a step"
    jumps = f"rounding changes a step by {dynamics.step_error:.3g} of the state"
    forgets = dynamics.exponent < 0
    raise VerificationError(
        mismatch(
            f"{class_name(subject.original)}, time steps for which two implementations can agree",
            f"at least {LEAST_HORIZON}",
            f"{dynamics.horizon}: {jumps if forgets else grows}",
            "Nothing was written. Where forward() jumps, as by sorting or comparing numbers that are alike, "
            "implementations differ."
            if forgets
            else "Nothing was written. Make its recurrent weights smaller.",
        )
    )


def _tolerances(allowed: dict[str, list[Array]]) -> dict[str, list[float]]:
    """Give one number a result for clients in other languages: the largest bound of its units."""
    return {case: [float(units.max(initial=0)) for units in results] for case, results in allowed.items()}
