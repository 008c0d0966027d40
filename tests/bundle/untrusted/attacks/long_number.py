"""A number has a million digits, which takes Python a minute to read."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_text

REFUSED = "cannot be read: Exceeds the limit"


def attack(folder: Path) -> None:
    edit_text(folder, '"parameters": 1601', '"parameters": ' + "9" * 1_000_000)
