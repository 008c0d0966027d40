"""A name tells the terminal to clear itself."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "a control character in"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(name="\x1b[2Jrnn"))
