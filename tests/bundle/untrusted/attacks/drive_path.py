"""A name has a stream or a drive on Windows."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    put(folder, "model.h:stream", b"")
