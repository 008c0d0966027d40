"""Folders lie in folders, deeper than a program may call itself."""

from pathlib import Path

REFUSED = "name of a file: expected a path within|cannot be read"


def attack(folder: Path) -> None:
    place = folder
    for _ in range(200):
        place = place / "d"
    place.mkdir(parents=True)
