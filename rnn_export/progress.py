"""How a long call reports its progress."""

from collections.abc import Callable

# Called with what is being done, how many parts of it are done, and of how many.
ProgressCallback = Callable[[str, int, int], None]


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""
