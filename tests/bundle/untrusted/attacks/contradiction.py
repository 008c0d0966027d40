"""A net that may be cut, and may not."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "its fields contradict each other"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"].update(whole_only="it looks ahead"))
