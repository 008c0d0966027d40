"""Python's collection of garbage, put off while much is imported."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
