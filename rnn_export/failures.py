"""The boundary of the public calls: nothing but our own errors gets out."""

import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnn_export.errors import RnnExportError

HERE = str(Path(__file__).parent)
LIBRARIES = (*(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")), "<")


@contextmanager
def typed(what: str, kind: type[RnnExportError], remedy: str) -> Iterator[None]:
    """Turn every exception that is not ours into one that is, which names the place and keeps the cause.

    Args:
        what: what was being done.
        kind: the error that is raised instead.
        remedy: what to do about it.
    """
    try:
        yield
    except RnnExportError:
        raise
    except Exception as error:
        raise kind(f"{explain(what, error)}. {remedy}") from error


def explain(what: str, error: Exception) -> str:
    """Say that something failed: why, and in which line that is no library's, the user's or else our own."""
    reason = str(error).strip().partition("\n")[0]
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
    place = users_line(error) or _place((own or frames)[-1])
    return f"{what} failed: {type(error).__name__}: {reason} ({place})"


def users_line(error: BaseException | None) -> str:
    """Name the line in which an error, or what it came from, was raised, if it is the user's."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        user = [frame for frame in frames if not frame.filename.startswith((HERE, *LIBRARIES))]
        if user:
            return _place(user[-1])
        error = error.__cause__ or error.__context__
    return ""


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.filename}:{frame.lineno}"
