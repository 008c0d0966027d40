"""A tolerance lets everything pass."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "not finite"


def attack(folder: Path) -> None:
    index = (folder / "golden" / "index.json").read_text()
    put(folder, "golden/index.json", index.replace('"outputs": 4', '"outputs": 4e999, "x": 4', 1).encode())
