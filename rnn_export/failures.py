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
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(LIBRARIES)]
    user = [frame for frame in own if not frame.filename.startswith(HERE)]
    frame = (user or own or frames)[-1]
    reason = str(error).strip().partition("\n")[0]
    return f"{what} failed: {type(error).__name__}: {reason} ({frame.filename}:{frame.lineno})"
