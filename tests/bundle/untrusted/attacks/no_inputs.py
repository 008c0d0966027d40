"""A call takes no inputs."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "Expected `array` of length >= 1"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"].update(inputs=[]))
