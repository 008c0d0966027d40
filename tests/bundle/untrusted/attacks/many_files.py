"""There are a hundred thousand files."""

from pathlib import Path

REFUSED = "expected at most 64 files and 16 folders, got more"


def attack(folder: Path) -> None:
    for number in range(100):  # enough to be too many; no more are looked at
        (folder / f"file{number}").touch()
