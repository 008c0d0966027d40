"""A file is a folder."""

from pathlib import Path

REFUSED = "model.h is missing"


def attack(folder: Path) -> None:
    (folder / "model.h").unlink()
    (folder / "model.h").mkdir()
