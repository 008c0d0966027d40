"""From a module to a bundle: script, export, compare, and only then put the folder in its place."""

import platform
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from math import exp
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.jit import ScriptModule

from rnn_export.backends import onnx, torchscript
from rnn_export.backends.c.write.model import WEIGHTS, compile_program
from rnn_export.bundle import golden
from rnn_export.bundle.bundle import Bundle, Manifest, check_target, describe_files, staged
from rnn_export.bundle.golden import Case, Dynamics
from rnn_export.capture import step
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script import script
from rnn_export.errors import (
    CaptureError,
    CompileError,
    ExportWarning,
    LengthsError,
    ModelError,
    OnnxFileError,
    ScriptError,
    VerificationError,
    mismatch,
)
from rnn_export.module import fold_check
from rnn_export.module.subject import Subject, inspect_module
from rnn_export.module.submodule_state import expose
from rnn_export.module.wrappers import Wrapper
from rnn_export.passes.choose import rank
from rnn_export.passes.pipeline import Stage, forms_of, optimize
from rnn_export.program.program import Program
from rnn_export.progress import ProgressCallback
from rnn_export.report.page import write_report
from rnn_export.verification import grid, tolerance
from rnn_export.verification.compare import FAILED
from rnn_export.verification.verify import VerificationReport, check_bundle
from rnn_export.version import __version__

MODEL_PT = "model.pt"
MODEL_ONNX = "model.onnx"
MODEL_C, MODEL_H = "model.c", "model.h"
DENSE = "unstack"  # the pass after which a Program is as simple as it gets, and takes no lengths yet
LEAST_HORIZON = 2  # time steps: fewer, and how the state is handed on could not be seen
LOOP = "loop"  # the form that the scripted module has
TOOLS = ("torch", "onnx", "onnxruntime", "onnx-ir", "onnxscript", "numpy")


def export(
    model: nn.Module,
    example: Tensor | tuple[Any, ...],
    folder: str | Path,
    *,
    step: bool = False,
    lengths: bool = False,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Bundle:
    """Export a recurrent module as a bundle, every file proven equal to eager PyTorch.

    Args:
        model: takes ``inputs``, or ``(inputs, state)``, and returns ``outputs`` or ``(outputs, new_state)``.
            The outputs are those of all time steps, in one tensor or in a list, or those of the last one. A
            copy in eval mode, on the CPU, is exported; the module itself is not changed.
        example: one call's ``(inputs, state)``, or its ``inputs`` alone. ``inputs`` has shape
            ``[T, B, features]`` or ``[B, T, features]`` in the dtype of the parameters (float32 or float64),
            or ``[T, B]`` or ``[B, T]`` for token ids (int64). ``state`` is a tensor, or nested tuples or
            lists of tensors, each with a batch axis. T and B stay free in every file.
        folder: where the bundle goes. It appears there whole, after everything was verified.
        step: whether the model takes a single time step: ``inputs`` has no time axis in the example then. The
            files run it over any number of steps, the time axis in front.
        lengths: whether the files take the number of time steps of each row as well, int64 ``lengths[B]``: a
            row's outputs are zero from there on, its new state is that after its own last step, and what the
            inputs hold behind it reaches nothing.
        name: what the model is called in its files; the folder's name unless given.
        metadata: strings that travel with the model, in the manifest and in the ONNX files.
        overwrite: whether to replace a bundle that is there.
        progress: called with what is being done, the parts done and their number.

    Raises:
        InputError: the example is not what the module takes.
        ModelError: the module cannot be exported.
        BundleError: the folder exists or cannot be written, or the bundle is larger than any that is read.
        VerificationError: a file does not agree with eager PyTorch.

    On any error nothing is written, and a bundle that was there is untouched.
    """
    folder = Path(folder)
    check_target(folder, overwrite=overwrite)
    report_progress = progress or (lambda stage, done, total: None)
    subject = _folded(inspect_module(model, example, step=step))
    subject = replace(subject, signature=replace(subject.signature, lengths=lengths))
    name, metadata = name or folder.resolve().name, dict(metadata or {})

    with staged(folder, overwrite=overwrite) as staging:
        stages, forms, reasons = _write_models(subject, staging, name, metadata, report_progress)
        report_progress("Running eager PyTorch over the grid", 0, 1)
        vectors = grid.build(subject)
        _check_horizon(vectors.dynamics, subject)
        golden.write(staging, vectors, subject.signature, _tolerances(vectors.cases, subject))
        manifest = replace(_manifest(subject, staging, name, metadata), passes=_summary(stages))
        report_progress("Verifying", 0, 1)
        report = check_bundle(Bundle(staging, manifest), progress)
        report = replace(report, left_out=tuple(reasons))
        report, form = _settle(staging, report, rank(forms, subject.steps, subject.batch))
        complete = write_report(staging, replace(manifest, form=form, verification=report.to_json()))
        Bundle.open(staging)  # nothing is written that could not be read
    return Bundle(folder, complete.manifest)


def _folded(subject: Subject) -> Subject:
    """Find out whether a module is a fold: as it is, or once its hidden state is handed out."""
    reason = fold_check.streaming_obstacle(subject)
    if reason and not subject.signature.state:
        exposed = expose(subject.model, subject.inputs)
        if exposed is not None:
            model, states = exposed
            inner = inspect_module(model, (subject.inputs, states))
            if not fold_check.streaming_obstacle(inner):
                return replace(inner, sample=subject.sample)
    return replace(subject, signature=replace(subject.signature, not_streamable_because=reason))


def _write_models(
    subject: Subject, staging: Path, name: str, metadata: dict[str, str], report_progress: ProgressCallback
) -> tuple[list[Stage], dict[str, Program], list[str]]:
    """Write ``model.pt`` and every form of the model as a variant.

    Gives what the passes made of the Program, its forms, and why a form could not be written.
    """
    dense = replace(subject, signature=replace(subject.signature, lengths=False))
    scripted, program = _capture(dense, report_progress)
    stages, reasons = ([], []) if program is None else _optimized(program, subject)
    forms = _forms(stages, subject)
    report_progress("Writing the files", 2, 3)
    module = script.with_lengths(scripted or script.script_step(dense), subject.signature)
    torchscript.write(module, staging / MODEL_PT)
    reasons += _write_c(stages, subject, staging, name)
    models = {form: program.proto() for form, program in forms.items()}
    if scripted is not None:
        try:
            models[LOOP] = script.export_loop(module, subject)
        except ScriptError as error:
            if not forms:
                raise _refusal(subject, error) from error
            reasons.append(f"{_variant(LOOP)}: {error}")
    for form, model in models.items():
        finished = onnx.finish(model, subject.signature, name, metadata, prefix=f"{script.WRAPPED}.")
        onnx.write(finished, staging / _variant(form))
    return stages, forms, reasons


def _write_c(stages: list[Stage], subject: Subject, staging: Path, name: str) -> list[str]:
    """Write the step as C; give the reason if it cannot be done."""
    dense = next((stage.program for stage in stages if stage.name == DENSE), None)
    if dense is None:
        return [f"{MODEL_C}: no single time step of the module could be captured"]
    try:
        files = compile_program(dense, subject.signature, name, f"{script.WRAPPED}.")
    except CompileError as error:
        return [f"{MODEL_C}: {error}"]
    (staging / MODEL_C).write_text(files.source)
    (staging / MODEL_H).write_text(files.header)
    if files.weights:
        (staging / WEIGHTS).write_bytes(files.weights)
    return []


def _check_horizon(dynamics: Dynamics | None, subject: Subject) -> None:
    """Refuse a net of which no two time steps can be compared.

    Raises:
        VerificationError: it amplifies rounding errors beyond all bounds within one step.
    """
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


def _settle(staging: Path, report: VerificationReport, forms: list[str]) -> tuple[VerificationReport, str]:
    """Make the first form that verified ``model.onnx``, and take out those that did not; name the first.

    Raises:
        VerificationError: ``model.pt`` or every form is wrong, or something could not be checked at all.
    """
    wrong = {check.file for check in report.checks if check.verdict == FAILED}
    right = [form for form in forms if _variant(form) not in wrong]
    chosen = right[0] if right else LOOP
    left_out = [file for form in forms if (file := _variant(form)) in wrong]
    if _variant(LOOP) in wrong and right:
        left_out.append(_variant(LOOP))
    left_out += [file for file in (MODEL_C,) if file in wrong]
    report = report.without(left_out)
    if not report.passed or not any(check.file == _variant(chosen) for check in report.checks):
        raise VerificationError(_failure(report))
    for file in left_out:
        (staging / file).unlink()
    if MODEL_C in left_out:
        (staging / MODEL_H).unlink()
        (staging / WEIGHTS).unlink(missing_ok=True)
    if chosen == LOOP:
        shutil.copyfile(staging / _variant(LOOP), staging / MODEL_ONNX)
        return report.copied(_variant(LOOP), MODEL_ONNX), chosen
    (staging / _variant(chosen)).rename(staging / MODEL_ONNX)
    return report.renamed(_variant(chosen), MODEL_ONNX), chosen


def _variant(form: str) -> str:
    return f"variants/{form}.onnx"


def _capture(
    subject: Subject, report_progress: ProgressCallback
) -> tuple[ScriptModule | None, Program | None]:
    """Script the module, and make a Program of it. One of the two is needed.

    The Program is the fold of the traced step, or else the scripted module with its loops turned into
    ``Scan``. A module that TorchScript cannot compile gets a ``model.pt`` with a loop around its traced step;
    one of which no Program can be made gets the scripted loop as ``model.onnx``.
    """
    scripted: ScriptModule | None = None
    failures: list[ModelError] = []
    report_progress("Scripting the module", 0, 3)
    if not isinstance(subject.model, Wrapper):
        try:
            scripted = script.script(subject)
        except ScriptError as error:
            failures.append(error)
    report_progress("Tracing one time step", 1, 3)
    if subject.signature.streamable:
        try:
            return scripted, step.capture(subject)
        except CaptureError as error:
            failures.append(error)
    if scripted is None:
        raise _refusal(subject, failures[0])
    try:
        return scripted, _scanned(scripted, subject)
    except ScriptError as error:
        raise _refusal(subject, error) from error
    except CaptureError as error:
        failures.append(error)
    warnings.warn(f"{failures[0]} model.onnx is the scripted loop.", ExportWarning, stacklevel=5)
    return scripted, None


def _scanned(scripted: ScriptModule, subject: Subject) -> Program:
    """Give the scripted module as a Program, every loop of it a ``Scan``."""
    try:
        reading = reader.read(script.export_loop(scripted, subject), subject.signature)
    except OnnxFileError as error:
        raise CaptureError(f"its loops cannot be rewritten: {error}.") from error
    if reading.left:
        raise CaptureError(f"a loop cannot be rewritten: {'; '.join(reading.left)}.")
    return reading.program


def _refusal(subject: Subject, error: ModelError) -> ModelError:
    """Say as well, if it is so, why the module is not a fold of its step."""
    reason = subject.signature.not_streamable_because
    if not reason:
        return error
    name = type(subject.original).__name__
    return type(error)(f"{name} cannot be run step by step ({reason}), and not be exported whole: {error}")


def _optimized(program: Program, subject: Subject) -> tuple[list[Stage], list[str]]:
    """Run the passes; a Program that cannot take the lengths that it is to take gives a reason."""
    try:
        return optimize(replace(program, signature=subject.signature)), []
    except LengthsError as error:
        return [], [str(error)]


def _forms(stages: list[Stage], subject: Subject) -> dict[str, Program]:
    """Give the forms of a Program, the one as it was captured only where it is the fastest."""
    forms = forms_of(stages)
    if "scan" in forms and rank(forms, subject.steps, subject.batch)[0] != "step":
        del forms["step"]
    return forms


def _summary(stages: list[Stage]) -> list[dict[str, Any]]:
    """Say how many of each operator there were after each pass."""
    return [
        {"name": stage.name, "form": stage.form, "operators": dict(sorted(stage.operators().items()))}
        for stage in stages
    ]


def _tolerances(cases: list[Case], subject: Subject) -> dict[str, list[float]]:
    """Give one number a result for clients in other languages: the largest bound of its units."""
    bounds = tolerance.bounds(cases, subject.signature)
    return {case: [float(units.max(initial=0)) for units in results] for case, results in bounds.items()}


def _manifest(subject: Subject, staging: Path, name: str, metadata: dict[str, str]) -> Manifest:
    versions = {"rnn_export": __version__, "python": platform.python_version()}
    return Manifest(
        name=name,
        model={
            "class": subject.class_name,
            "source_modules": subject.source_modules,
            "parameters": sum(parameter.numel() for parameter in subject.model.parameters()),
        },
        signature=subject.signature,
        files=describe_files(staging),
        metadata=metadata,
        versions={**versions, **{tool: version(tool) for tool in TOOLS}},
    )


def _failure(report: VerificationReport) -> str:
    wrong = [check for check in report.checks if check.verdict != "passed"]
    lines = [f"  {check.file} in {check.runtime}: {check.verdict}, {check.detail}" for check in wrong]
    return "\n".join([f"{report.name} does not agree with eager PyTorch; nothing was written.", *lines])
