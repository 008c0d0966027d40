"""A ``.pt`` holds a pickle that TorchScript does not read, for whoever calls torch.load."""

from pathlib import Path

from tests.bundle.untrusted.attacks import patched

REFUSED = "model.pt: .* got a member that TorchScript has not"


def attack(folder: Path) -> None:
    patched(folder, (b"archive/data/0", b"archive/ab.pkl"))
