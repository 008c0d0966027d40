"""A dtype holds pointers."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "Invalid enum value 'object'"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["inputs"][0].update(dtype="object"))
