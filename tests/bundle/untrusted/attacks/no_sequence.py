"""No input has a time axis."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "inputs: expected a sequence"


def attack(folder: Path) -> None:
    edit(
        folder, lambda manifest: manifest["signature"]["inputs"][0].update(shape=["batch", 4], role="context")
    )
