"""What stands behind the end of a row has more numbers than a row of the output."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "expected the padding of shape"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["outputs"][0].update(padding=[1.0] * 999))
