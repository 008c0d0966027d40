"""A member of a ``.pt`` would be unpacked elsewhere."""

from pathlib import Path

from tests.bundle.untrusted.attacks import patched

REFUSED = "model.pt: .* got a member that TorchScript has not: '../../../e/e/e'"


def attack(folder: Path) -> None:
    patched(folder, (b"archive/data/0", b"../../../e/e/e"))
