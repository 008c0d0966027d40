"""A hundred thousand golden vectors."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = "of length <= 1024"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index.update(cases=index["cases"] * 20))
