"""The first value of a state of whole numbers is infinite."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "cannot convert float infinity to integer"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["state"][0].update(initial="Infinity", dtype="int64"))
