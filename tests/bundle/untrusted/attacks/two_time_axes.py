"""A tensor has two time axes."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "expected an axis for each of"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["inputs"][0].update(shape=["time", "time", "batch"]))
