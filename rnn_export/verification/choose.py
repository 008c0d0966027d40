"""Which form becomes ``model.onnx``, and which files are left out: the sixth stage of an export."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rnn_export.bundle.bundle import Manifest
from rnn_export.bundle.layout import (
    LOOP,
    MODEL_C,
    MODEL_H,
    MODEL_ONNX,
    MODEL_PT,
    MODEL_PT2,
    STEP_ONNX,
    WEIGHTS,
    variant,
)
from rnn_export.errors import DisagreementError, VerificationError
from rnn_export.passes.choose import rank
from rnn_export.program.operator_facts import INEXACT
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.verification.compare import FAILED, PASSED
from rnn_export.verification.verdict import unchecked
from rnn_export.verification.verify import VerificationReport
from rnn_export.verification.verify_export import Verified


@dataclass(frozen=True)
class Chosen:
    """A folder in which every file agrees with eager PyTorch, and its manifest.

    ``kept`` names the matrices in float32 where smaller weights are asked for, each with its file.
    """

    folder: Path
    manifest: Manifest
    kept: tuple[str, ...]


def choose_form(verified: Verified) -> Chosen:
    """Make the first form that verified ``model.onnx``, and take out the files that did not.

    Raises:
        DisagreementError: every form is wrong, or something could not be checked at all.
    """
    subject, folder = verified.written.improved.captured.subject, verified.written.folder
    forms = rank(verified.written.improved.forms, subject.steps, subject.batch)
    wrong = {check.file for check in verified.report.checks if check.verdict == FAILED}
    losing = {check.file for check in verified.report.checks if check.non_finite}
    right = sorted(
        (form for form in forms if variant(form) not in wrong), key=lambda form: variant(form) in losing
    )
    chosen = next(iter(right), LOOP)
    left_out = _left_out(forms, wrong, chosen)
    report = replace(verified.report.without(left_out), inexact=_inexact(verified, left_out))
    if not report.passed or not any(check.file == variant(chosen) for check in report.checks):
        raise DisagreementError(_failure(verified.report), streamed=subject.signature.streamable)
    _remove(folder, left_out)
    report = _rename(folder, chosen, report)
    manifest = replace(
        verified.bundle.manifest,
        form=chosen,
        example={TIME: subject.steps, BATCH: subject.batch},
        verification=report.to_json(),
    )
    return Chosen(folder, manifest, _kept(verified, left_out, chosen))


def check_demand(report: VerificationReport, required: Sequence[str]) -> None:
    """Check that what is required is there and has passed.

    Raises:
        VerificationError: something is not.
    """
    missing = report.requiring(required).unmet
    if missing:
        raise VerificationError(f"{'; '.join((*missing, *unchecked(report.checks)))}. Nothing was written.")


def _left_out(forms: Sequence[str], wrong: set[str], chosen: str) -> list[str]:
    """Name the wrong files that a bundle can do without. The loop is one if another form was chosen."""
    optional = [variant(form) for form in forms]
    optional += [variant(LOOP)] if chosen != LOOP else []
    return [file for file in (*optional, STEP_ONNX, MODEL_C, MODEL_PT, MODEL_PT2) if file in wrong]


def _inexact(verified: Verified, left_out: Sequence[str]) -> tuple[str, ...]:
    """Say which functions of the files that are kept ONNX Runtime computes less exactly, and where."""
    inexact = verified.written.inexact
    functions = {function for file in inexact if file not in left_out for function in inexact[file]}
    return tuple(f"{function}: {INEXACT[function]}" for function in sorted(functions))


def _kept(verified: Verified, left_out: Sequence[str], chosen: str) -> tuple[str, ...]:
    """Name the matrices that the files hold in float32 where smaller weights are asked for."""
    names = {variant(chosen): MODEL_ONNX}
    kept = verified.written.kept
    return tuple(
        f"{names.get(file, file)}: {', '.join(kept[file])}"
        for file in kept
        if kept[file] and file not in left_out
    )


def _remove(folder: Path, files: Sequence[str]) -> None:
    for file in files:
        (folder / file).unlink()
    if MODEL_C in files:
        (folder / MODEL_H).unlink()
        (folder / WEIGHTS).unlink(missing_ok=True)


def _rename(folder: Path, chosen: str, report: VerificationReport) -> VerificationReport:
    """Let a form be ``model.onnx``; the loop stays a variant as well."""
    if chosen == LOOP:
        shutil.copyfile(folder / variant(LOOP), folder / MODEL_ONNX)
        return report.copied(variant(LOOP), MODEL_ONNX)
    (folder / variant(chosen)).rename(folder / MODEL_ONNX)
    return report.renamed(variant(chosen), MODEL_ONNX)


def _failure(report: VerificationReport) -> str:
    wrong = [check for check in report.checks if check.verdict != PASSED]
    lines = [f"  {check.file} in {check.runtime}: {check.verdict}, {check.detail}" for check in wrong]
    lines += [f"  {reason}" for reason in report.left_out]
    return "\n".join([f"{report.name} does not agree with eager PyTorch; nothing was written.", *lines])
