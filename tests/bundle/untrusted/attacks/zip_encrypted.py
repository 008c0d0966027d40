"""A member of a ``.pt`` is said to be encrypted."""

from pathlib import Path

from tests.bundle.untrusted.attacks import patched

REFUSED = "model.pt: .* got .*(encrypt|password)"


def attack(folder: Path) -> None:
    patched(folder, (b"\x00\x00\x08\x08\x00\x00", b"\x00\x00\x09\x08\x00\x00"))
