"""A name leads out of the folder and back into it."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    put(folder, f"golden/../../{folder.name}/model.h", (folder / "model.h").read_bytes())
