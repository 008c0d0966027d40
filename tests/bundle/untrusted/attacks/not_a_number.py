"""A number is none."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_text

REFUSED = "NaN is not JSON"


def attack(folder: Path) -> None:
    edit_text(folder, '"initial": 0.0', '"initial": NaN')
