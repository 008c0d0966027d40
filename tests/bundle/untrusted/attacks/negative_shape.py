"""A size is negative: products of such sizes are right again."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = ">= 1"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["state"][0].update(shape=["batch", -4, -8]))
