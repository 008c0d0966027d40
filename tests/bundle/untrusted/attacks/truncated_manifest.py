"""The manifest ends in the middle."""

from pathlib import Path

REFUSED = "is not the manifest of a bundle"


def attack(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:5000])
