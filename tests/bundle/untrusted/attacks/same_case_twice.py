"""Two golden vectors have one name: the results of one stand for both."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = "twice"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"].append(index["cases"][0]))
