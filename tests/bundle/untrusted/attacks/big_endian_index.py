"""The tensors are said to be big-endian."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = r"Invalid enum value 'big' - at `\$.byte_order`"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index.update(byte_order="big"))
