"""A tensor is said to be big-endian."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = "Invalid enum value '>f4'"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"][0]["call"]["inputs"].update(dtype=">f4"))
