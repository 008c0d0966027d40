"""Everything that this package raises or warns about, one small tree."""

import os
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from rnn_export.exclusive import LOCK

PACKAGE = __name__.partition(".")[0]


class RnnExportError(Exception):
    """Base of all errors that this package raises on purpose."""


class InputError(RnnExportError):
    """The inputs or the state of a call, or of the example, are not what the model takes."""


class SequenceError(InputError):
    """A request is about a sequence that a server does not have, or one more than it may have."""


class ModelError(RnnExportError):
    """The module itself cannot be exported."""


class ScriptError(ModelError):
    """TorchScript cannot compile the module; the message names the line and what to change.

    ``reason`` says why without the user's paths, for what is shipped.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class CaptureError(ModelError):
    """The exporter cannot trace one time step of the module."""


class OnnxFileError(RnnExportError):
    """An ONNX file of another exporter cannot be read, run or written."""


class NotAFoldError(ModelError):
    """A loop of an ONNX file does not provably go one time step after another; the message is the reason."""


class LengthsError(ModelError):
    """The rows of a batch cannot have different lengths in a loop of the module."""


class CompileError(ModelError):
    """The net cannot be compiled to C; the message is the reason. ``located`` once it names the node."""

    def __init__(self, message: str, *, located: bool = False) -> None:
        super().__init__(message)
        self.located = located


class PassError(RnnExportError):
    """A pass changed what a Program computes: a bug of this package."""


class TargetError(RnnExportError):
    """``MODULE:FACTORY`` on the command line does not lead to ``(model, example)``.

    ``shown`` is the traceback of the user's own code, where that failed.
    """

    def __init__(self, message: str, *, shown: str = "") -> None:
        super().__init__(message)
        self.shown = shown


class BundleError(RnnExportError):
    """A bundle's folder cannot be written, or what was read is not the bundle that was written."""


class BuildError(BundleError):
    """A ``model.c`` that the compiler here rejects, or that is not what the bundle says of it."""


class SigningError(RnnExportError):
    """A bundle cannot be signed, or is not what the owner of the key signed."""


class RuntimeUnavailableError(RnnExportError):
    """The runtime asked for is unknown, not installed, or has no file in the bundle."""


class ScaffoldError(RnnExportError):
    """There is no example for this host, or none that could run this bundle."""


class ScoreError(RnnExportError):
    """Files cannot be scored: they cannot be read, or the results not be written."""


class VerificationError(RnnExportError):
    """A file does not agree with eager PyTorch. Nothing was written."""


class DisagreementError(VerificationError):
    """No form of a module agrees with eager PyTorch, or it cannot be checked.

    ``streamed`` says whether it was exported with a state.
    """

    def __init__(self, message: str, *, streamed: bool) -> None:
        super().__init__(message)
        self.streamed = streamed


class ExportWarning(UserWarning):
    """The export went on, but the user should know about something."""


def mismatch(where: str, expected: object, got: object, remedy: str) -> str:
    """Word an error the one way: where, what was expected, what came, what to do."""
    return f"{where}: expected {expected}, got {got}. {remedy}"


def nearest(word: str, known: Iterable[str], otherwise: str, *, quoted: bool = True) -> str:
    """Guess what was meant by a name that is not known; say something else where nothing is near.

    >>> nearest("pyton", ["c", "python"], "Name one of them.")
    "Did you mean 'python'?"
    """
    known = list(known)
    near = get_close_matches(word, known, 1) or [name for name in known if word and name.startswith(word)]
    meant = [repr(name) if quoted else name for name in near]
    return f"Did you mean {meant[0]}?" if meant else otherwise


def path_of(value: str | os.PathLike[str], where: str, remedy: str = "Pass a path.") -> Path:
    """Give a path.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(mismatch(where, "a path", type(value).__name__, remedy))
    return Path(value)


def class_name(module: object) -> str:
    """Name the class of a module, also of one that TorchScript compiled."""
    return str(getattr(module, "original_name", type(module).__name__))


def warn(message: str) -> None:
    """Warn of something, at the line of the user's code that called this package."""
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        depth, frame = depth + 1, frame.f_back
    with LOCK:  # no other export drops warnings meanwhile
        warnings.warn(message, ExportWarning, stacklevel=depth)
