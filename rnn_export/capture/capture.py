"""From a module to TorchScript and to a Program: the second stage of an export."""

from dataclasses import dataclass, replace

from torch.jit import ScriptModule

from rnn_export.capture import step
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script import script
from rnn_export.errors import CaptureError, ModelError, OnnxFileError, ScriptError, warn
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Wrapper
from rnn_export.program.program import Program
from rnn_export.progress import ProgressCallback


@dataclass(frozen=True)
class Captured:
    """A module in the forms from which files are written.

    Attributes:
        subject: the module.
        module: what becomes ``model.pt``; it takes lengths if the subject does.
        compiled: whether TorchScript compiled the module itself. If not, ``module`` is a loop around its
            traced step.
        program: the traced step in a ``Scan``, or else the scripted module with its loops turned into
            ``Scan``; without lengths. ``None`` if neither could be made.
    """

    subject: Subject
    module: ScriptModule
    compiled: bool
    program: Program | None


def capture(subject: Subject, report_progress: ProgressCallback) -> Captured:
    """Capture a module: compile it, and trace one time step of it. One of the two has to succeed.

    Raises:
        ModelError: neither does; the message names the line, and what to change.
    """
    dense = replace(subject, signature=replace(subject.signature, lengths=False))
    scripted, program = _capture(dense, report_progress)
    module = script.with_lengths(scripted or script.script_step(dense), subject.signature)
    return Captured(subject, module, scripted is not None, program)


def _capture(
    subject: Subject, report_progress: ProgressCallback
) -> tuple[ScriptModule | None, Program | None]:
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
        raise refusal(subject, failures[0])
    try:
        return scripted, _scanned(scripted, subject)
    except ScriptError as error:
        raise refusal(subject, error) from error
    except CaptureError as error:
        failures.append(error)
    warn(f"{failures[0]} model.onnx is the scripted loop.")
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


def refusal(subject: Subject, error: ModelError) -> ModelError:
    """Add to an error why the module cannot be run step by step, if that is so."""
    reason = subject.signature.not_streamable_because
    if not reason:
        return error
    name = type(subject.original).__name__
    return type(error)(f"{name} cannot be run step by step ({reason}), and not be exported whole: {error}")
