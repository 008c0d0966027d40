"""A size is negative."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = ">= 0 - at"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["files"]["model.h"].update(bytes=-1))
