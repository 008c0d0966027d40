"""The manifest is in UTF-16, whose byte order some readers guess."""

from pathlib import Path

REFUSED = "is not the manifest of a bundle"


def attack(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_text().encode("utf-16"))
