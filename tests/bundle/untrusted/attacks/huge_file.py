"""A file takes no room on the disk, and three gigabytes of memory."""

from pathlib import Path

REFUSED = "at most 2147483647 bytes, got 3221225472"


def attack(folder: Path) -> None:
    with (folder / "model.h").open("r+b") as file:
        file.truncate(3 << 30)
