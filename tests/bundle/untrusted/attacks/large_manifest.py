"""The manifest is larger than any."""

from pathlib import Path

REFUSED = "at most 8388608 bytes"


def attack(folder: Path) -> None:
    with (folder / "manifest.json").open("ab") as file:
        file.write(b" " * (10 << 20))
