"""The tensors lie in another file."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = r"Invalid enum value '../../secret' - at `\$.tensors`"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index.update(tensors="../../secret"))
