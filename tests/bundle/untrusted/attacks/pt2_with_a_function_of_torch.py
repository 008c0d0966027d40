"""A node of a ``.pt2`` calls a function of PyTorch that unpickles."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got target 'torch.load'"


def attack(folder: Path) -> None:
    put_pt2(folder, target="torch.load")
