"""A ``.pt`` holds a pickle that TorchScript does not read, for whoever calls torch.load."""

from pathlib import Path

from tests.attacks import patched

REFUSED = "model.pt: .* got a member that TorchScript has not"


def attack(folder: Path) -> None:
    patched(folder, (b"model/data/0", b"model/ab.pkl"))
