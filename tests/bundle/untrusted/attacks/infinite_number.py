"""A number is too large to be one."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_text

REFUSED = "not finite"


def attack(folder: Path) -> None:
    edit_text(folder, '"initial": 0.0', '"initial": 1e999')
