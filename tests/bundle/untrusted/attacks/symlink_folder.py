"""A folder is a link to one with the right content."""

from pathlib import Path

REFUSED = "golden: expected a regular file, got a symbolic link"


def attack(folder: Path) -> None:
    path = folder / "golden"
    path.rename(folder.parent / "golden")
    path.symlink_to(folder.parent / "golden")
