"""The state is a tuple in a tuple in a tuple."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit, edit_text

REFUSED = "nested too deep"


def attack(folder: Path) -> None:
    nested = '{"tuple": [' * 500 + '"state_0"' + "]}" * 500
    edit(folder, lambda manifest: manifest["signature"].update(tree="TREE"))
    edit_text(folder, '"TREE"', nested)
