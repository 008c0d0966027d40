"""A tensor lies behind the end."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = "a tensor ends at byte"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"][0]["call"]["inputs"].update(offset=1 << 40))
