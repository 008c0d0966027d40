"""The manifest is a link."""

from pathlib import Path

REFUSED = "manifest.json cannot be read: .*(symbolic links|links)"


def attack(folder: Path) -> None:
    path = folder / "manifest.json"
    path.rename(folder.parent / "manifest.json")
    path.symlink_to(folder.parent / "manifest.json")
