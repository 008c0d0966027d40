"""A name ends in a new line, which `$` of a pattern lets through."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    put(folder, "model.x\n", b"")
