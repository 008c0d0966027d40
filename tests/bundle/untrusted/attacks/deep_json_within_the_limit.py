"""Lists in lists, as many as may be read."""

from pathlib import Path

REFUSED = "nested too deep"


def attack(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"[" * 4_000_000 + b"]" * 4_000_000)
