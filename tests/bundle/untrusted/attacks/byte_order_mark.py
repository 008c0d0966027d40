"""The manifest begins with a mark that some readers skip."""

from pathlib import Path

REFUSED = "is not the manifest of a bundle"


def attack(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
