"""A field is not known."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = r"unknown field `run` - at `\$.model`"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["model"].update(run="rm -r"))
