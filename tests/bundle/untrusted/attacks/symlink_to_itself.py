"""A link leads to itself."""

from pathlib import Path

REFUSED = "expected a regular file, got a symbolic link"


def attack(folder: Path) -> None:
    (folder / "golden" / "more").symlink_to("more")
