"""A call that fails."""

from collections.abc import Callable


def raising(error: Exception) -> Callable[[], None]:
    """Give a function that raises an error."""

    def start() -> None:
        raise error

    return start
