"""A number does not fit into 64 bits."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_text

REFUSED = "more than 64 bits"


def attack(folder: Path) -> None:
    edit_text(folder, '"parameters": 1601', '"parameters": 9223372036854775808')
