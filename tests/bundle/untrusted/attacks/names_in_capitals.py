"""Two names are one on macOS and Windows."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "names that differ in more than capitals"


def attack(folder: Path) -> None:
    put(folder, "MODEL.PT", b"")
