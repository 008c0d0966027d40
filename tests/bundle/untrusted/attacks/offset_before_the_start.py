"""A tensor lies before the start, where numpy would count from the end."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = ">= 0"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"][0]["call"]["inputs"].update(offset=-64))
