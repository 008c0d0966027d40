"""The first value of a state is a text that numpy takes for numbers."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "expected numbers as the first value"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["state"][0].update(initial=["1"] * 32))
