"""Memory that nothing uses: Python's collection of it, put off at imports, and that of the C library."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def give_back() -> None:
    """Give memory that was freed back to the system, where the C library keeps it: glibc's does.

    What a large net leaves behind in one stage would be held in all that follow.
    """
    trim = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextmanager
def uncollected() -> Iterator[None]:
    """Put off the collection of garbage: the million objects that an import of torch's exporters makes stay.

    They count as old afterwards, so that the next collection of what is young does not look at them either.
    """
    enabled, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.disable()
    try:
        yield
    finally:
        if not frozen:  # what the caller has frozen stays so
            gc.freeze()
            gc.unfreeze()
        if enabled:
            gc.enable()
