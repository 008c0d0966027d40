"""The file is said to take what the call does not."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "takes and gives: expected the names of the call"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"].update(takes=["inputs", "elsewhere"]))
