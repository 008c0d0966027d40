"""From a module to TorchScript and to a Program: the second stage of an export."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import onnx_ir as ir
from torch.jit import ScriptModule

from rnn_export.bundle.layout import MODEL_PT
from rnn_export.capture import step
from rnn_export.capture.around.around import Around, around
from rnn_export.capture.inline.inline import apart
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.roll.rolled import roll
from rnn_export.capture.script import script
from rnn_export.capture.script.script import LoopExport
from rnn_export.errors import CaptureError, ModelError, OnnxFileError, ScriptError, class_name, mismatch, warn
from rnn_export.failures import typed
from rnn_export.module.arranged import Arranged
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Wrapper
from rnn_export.program.program import Program
from rnn_export.progress import ProgressCallback, silent
from rnn_export.workers import Workers

HALVES = ir.DataType.FLOAT16, ir.DataType.BFLOAT16
Form = TypeVar("Form", ScriptModule, Program)


@dataclass(frozen=True)
class Captured:
    """A module in the forms from which files are written.

    Attributes:
        subject: the module.
        module: what becomes ``model.pt``; it takes lengths if the subject does. ``None`` if there is none.
        loop: the export of the module's own loop to ONNX, if TorchScript compiled the module itself. If not,
            ``module`` is a loop around its traced step.
        program: the traced step in a ``Scan``, or else the scripted module with its loops turned into
            ``Scan``; without lengths. ``None`` if neither could be made.
        left_out: why there is no ``module``.
    """

    subject: Subject
    module: ScriptModule | None
    loop: LoopExport | None
    program: Program | None
    left_out: tuple[str, ...] = ()


def capture(subject: Subject, report_progress: ProgressCallback, workers: Workers) -> Captured:
    """Capture a module: compile it, and trace one time step of it. One of the two has to succeed.

    Raises:
        ModelError: neither does; the message names the line, and what to change. Or it computes in half
            precision, for which no file has tolerances.
    """
    try:
        captured = _captured(subject, report_progress, workers)
    except ModelError:
        if subject.counted is None:
            raise
        captured = _captured(subject.counted, report_progress, workers)
    for node in captured.program.model.graph.all_nodes() if captured.program else ():
        half = next((str(value.dtype) for value in node.outputs if value.dtype in HALVES), None)
        if half:
            raise ModelError(
                mismatch(
                    f"numbers that {class_name(subject.original)} computes with",
                    subject.signature.dtype,
                    f"{half} in a {node.op_type}",
                    "Leave torch.autocast out, enabled=False in eval mode, and calls of half().",
                )
            )
    return captured


def _captured(
    subject: Subject, report_progress: ProgressCallback, workers: Workers, *, part: bool = False
) -> Captured:
    """Capture a module, or a ``part`` of one, around whose recurrences nothing is traced."""
    dense = _dense(subject)
    failures: list[ModelError] = []
    report_progress("Scripting the module", 0, 3)
    if not dense.signature.streamable and (captured := _rolled(subject, report_progress, workers, part=part)):
        return captured
    around = (part for part in dense.model.modules() if isinstance(part, Wrapper))
    ours = not all(isinstance(part, Arranged) for part in around)
    scripted = None if ours else _tried(script.script, dense, failures)
    if not dense.signature.streamable:
        return _whole(subject, scripted, failures, workers, part=part)
    module = None if scripted is None else script.with_lengths(scripted, subject.signature)
    loop = None if module is None else LoopExport(module, subject, workers)
    report_progress("Tracing one time step", 1, 3)
    program = _tried(step.capture, dense, failures)
    if scripted is None or loop is None:
        if program is None:
            raise refusal(subject, *failures)
        return _without_script(Captured(subject, None, None, program), failures)
    if program is None:
        own = LoopExport(scripted, dense, workers) if subject.signature.lengths else loop
        try:
            program = _scanned_or_none(own, dense, failures, part=part)
        except ScriptError as error:
            raise refusal(subject, error, *failures) from error
    return Captured(subject, module, loop, program)


def _rolled(
    subject: Subject, report_progress: ProgressCallback, workers: Workers, *, part: bool
) -> Captured | None:
    """Capture a module with its local variables as a state, if it can be rolled up and its step be traced."""
    rolled = roll(_dense(subject))
    if rolled is None:
        return None
    signature = replace(rolled.signature, lengths=subject.signature.lengths)
    try:
        return _captured(replace(rolled, signature=signature), report_progress, workers, part=part)
    except ModelError:  # then whole sequences are what is left
        return None


def _whole(
    subject: Subject,
    scripted: ScriptModule | None,
    failures: list[ModelError],
    workers: Workers,
    *,
    part: bool,
) -> Captured:
    """Capture a module that runs over whole sequences: scripted, or else traced, or around its recurrences.

    Raises:
        ModelError: it can be exported in none of these ways.
    """
    dense, modules = _dense(subject), list[ScriptModule]()
    for form in (lambda _: scripted, script.trace):
        module = _tried(form, dense, failures)
        if module is None:
            continue
        ragged = script.with_lengths(module, subject.signature)
        modules.append(ragged)
        loop = LoopExport(ragged, subject, workers)
        own = LoopExport(module, dense, workers) if subject.signature.lengths else loop
        try:
            return Captured(subject, ragged, loop, _scanned_or_none(own, dense, [], part=part))
        except ScriptError as error:
            failures.append(error)
    if part:
        raise refusal(subject, *failures)
    try:
        parts, program = _around(dense, workers)
    except ModelError as error:
        failures.append(error)
        try:
            parts, program = _around(apart(dense), workers)
        except ModelError as another:
            raise refusal(subject, *failures, another) from another
    captured = Captured(subject, modules[0] if modules else None, None, program)
    return captured if modules else _traced_around(captured, parts, failures)


def _around(subject: Subject, workers: Workers) -> tuple[Around, Program]:
    """Trace a model around its recurrences.

    Raises:
        ModelError: one of them is none, or what is around them cannot be traced.
    """
    with typed("a trace around its recurrences", CaptureError, "Please report it."):
        parts = around(subject, lambda inner: _by_itself(inner, workers))
        return parts, parts.program()


def _traced_around(captured: Captured, parts: Around, failures: list[ModelError]) -> Captured:
    """Trace a model around scripted loops, if all of its recurrences are such."""
    try:
        module = script.trace(replace(parts.subject, model=parts.scripted()))
    except ScriptError as error:
        reasons = [failure.reason for failure in [*failures, error] if isinstance(failure, ScriptError)]
        return replace(captured, left_out=(f"{MODEL_PT}: {'; '.join(reasons)}",))
    return replace(captured, module=script.with_lengths(module, captured.subject.signature))


def _by_itself(subject: Subject, workers: Workers) -> tuple[Program, ScriptModule | None]:
    """Give a submodule as a Program, and as TorchScript that takes and gives tensors, if there is that.

    Raises:
        ModelError: there is no Program.
    """
    captured = _captured(subject, silent, workers, part=True)
    if captured.program is None:
        raise CaptureError(f"{class_name(subject.original)} has loops that cannot be rewritten.")
    signature = captured.subject.signature
    program = replace(captured.program, signature=signature)
    return program, captured.module and script.flat(captured.module, signature)


def loop_around_step(subject: Subject) -> ScriptModule:
    """Give the second way to ``model.pt``: the module's traced step, in a loop that this package writes.

    Raises:
        ScriptError: the module cannot be run step by step, or its step cannot be traced or saved.
    """
    if not subject.signature.streamable:
        raise ScriptError(f"it cannot be run step by step: {subject.signature.not_streamable_because}")
    return script.with_lengths(script.script_step(_dense(subject)), subject.signature)


def _dense(subject: Subject) -> Subject:
    return replace(subject, signature=replace(subject.signature, lengths=False))


def _tried(
    capture: Callable[[Subject], Form | None], subject: Subject, failures: list[ModelError]
) -> Form | None:
    """Capture a module in one form; note why that is not possible."""
    try:
        return capture(subject)
    except (ScriptError, CaptureError) as error:
        failures.append(error)
        return None


def _without_script(captured: Captured, failures: list[ModelError]) -> Captured:
    """Put a loop around the traced step of a module that TorchScript does not compile, if it can be."""
    try:
        return replace(captured, module=loop_around_step(captured.subject))
    except ScriptError as error:
        reasons = [failure.reason for failure in [*failures, error] if isinstance(failure, ScriptError)]
        return replace(captured, left_out=(f"{MODEL_PT}: {'; '.join(reasons)}",))


def _scanned_or_none(
    loop: LoopExport, subject: Subject, failures: list[ModelError], *, part: bool
) -> Program | None:
    """Give the scripted module as a Program; warn if its loops cannot be rewritten.

    Raises:
        ScriptError: it cannot be exported to ONNX.
        CaptureError: its loops cannot be rewritten, and it is a ``part`` of a module.
    """
    try:
        return _scanned(loop, subject)
    except CaptureError as error:
        if part:
            raise
        failures.append(error)
    warn(f"{failures[0]} model.onnx is the scripted loop.")
    return None


def _scanned(loop: LoopExport, subject: Subject) -> Program:
    """Give the scripted module as a Program, every loop of it a ``Scan``."""
    try:
        reading = reader.read(loop.model(), subject.signature)
    except OnnxFileError as error:
        raise CaptureError(f"its loops cannot be rewritten: {error}.") from error
    if reading.left:
        raise CaptureError(f"a loop cannot be rewritten: {'; '.join(reading.left)}.")
    return reading.program


def refusal(subject: Subject, error: ModelError, *others: ModelError) -> ModelError:
    """Add to an error why every other way to export the module failed, and of a method that may be one."""
    reason, name = subject.signature.not_streamable_because, class_name(subject.original)
    said = f"{name} cannot be run step by step ({reason}), and not be exported whole: " if reason else ""
    lines = dict.fromkeys([f"{said}{error}", *(f"Nor as a trace: {other}" for other in others)])
    if callable(getattr(subject.original, "step", None)):
        lines["Its method step() can be exported as the forward() of a module, with step=True."] = None
    return type(error)("\n".join(lines))
