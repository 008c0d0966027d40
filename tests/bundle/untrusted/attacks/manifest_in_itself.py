"""The manifest names itself."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit, facts

REFUSED = "manifest.json is missing"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["files"].update({"manifest.json": facts(b"")}))
