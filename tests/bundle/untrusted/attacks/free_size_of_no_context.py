"""A size of the outputs is free, and no context has it."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "expected an axis for each of"


def attack(folder: Path) -> None:
    edit(
        folder, lambda manifest: manifest["signature"]["outputs"][0].update(shape=["time", "batch", "places"])
    )
