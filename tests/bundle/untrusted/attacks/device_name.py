"""A name is that of a device on Windows."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    put(folder, "golden/CON.bin", b"")
