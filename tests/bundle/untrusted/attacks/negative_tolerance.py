"""A tolerance is negative."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = ">= 0"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"][0]["tolerance"].update(outputs=-1.0))
