"""A name leads out of the folder on Windows."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    put(folder, "golden\\..\\secret", b"")
