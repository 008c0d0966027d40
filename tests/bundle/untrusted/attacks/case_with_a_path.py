"""The name of a golden vector is a path, which an archive of results would take."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = "matching regex"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"][0].update(name="../../results"))
