"""A state of sixteen gigabytes, for which memory is asked at the first call."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "at most 16777216 units"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["state"][0].update(shape=["batch", 1 << 30, 4]))
