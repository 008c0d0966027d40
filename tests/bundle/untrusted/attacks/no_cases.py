"""No golden vectors: nothing could fail."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = "of length >= 1"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index.update(cases=[]))
