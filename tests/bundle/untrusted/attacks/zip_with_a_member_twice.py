"""A ``.pt`` holds a member twice: one reader takes the first, another the last."""

from pathlib import Path

from tests.bundle.untrusted.attacks import patched

REFUSED = "model.pt: .* got a member that is there twice"


def attack(folder: Path) -> None:
    patched(folder, (b"archive/data/1", b"archive/data/0"))
