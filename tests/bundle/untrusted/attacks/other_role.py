"""A sequence is called a context."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "its fields contradict each other"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["inputs"][0].update(role="context"))
