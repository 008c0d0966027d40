"""Lists in lists, ten megabytes of them."""

from pathlib import Path

REFUSED = "at most 8388608 bytes"


def attack(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"[" * 10_000_000)
