"""What a long call says while it works."""

from collections.abc import Callable

# Told while it works: what is being done, how many parts of it are done, of how many.
Tell = Callable[[str, int, int], None]
