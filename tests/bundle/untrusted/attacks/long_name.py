"""A name is longer than any system takes."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit, facts

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["files"].update({"x" * 100_000: facts(b"")}))
