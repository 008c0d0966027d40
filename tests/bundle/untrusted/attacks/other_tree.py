"""The tree has other leaves than the state."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "tree: expected the leaves of the state"


def attack(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["signature"].update(tree={"tuple": ["state_0", "state_0"]}))
