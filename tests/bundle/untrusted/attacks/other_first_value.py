"""The first value of a state has another shape."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "expected the first value of shape"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"]["state"][0].update(initial=[0.0] * 31))
