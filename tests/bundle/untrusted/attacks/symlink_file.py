"""A file is a link to a file with the right content."""

from pathlib import Path

REFUSED = "model.h: expected a regular file, got a symbolic link"


def attack(folder: Path) -> None:
    path = folder / "model.h"
    path.rename(folder.parent / "model.h")
    path.symlink_to(folder.parent / "model.h")
