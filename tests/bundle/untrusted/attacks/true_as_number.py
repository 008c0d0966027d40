"""A truth stands where a number is expected, and Python takes it for 1."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "Expected `int`, got `bool`"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["model"].update(parameters=True))
