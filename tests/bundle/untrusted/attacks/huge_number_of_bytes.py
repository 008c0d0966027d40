"""A size is larger than any file."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "<= 2147483647 - at"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["files"]["model.h"].update(bytes=1 << 62))
