"""A node of a ``.pt2`` is an operator that opens files."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got target 'torch.ops.aten.from_file"


def attack(folder: Path) -> None:
    put_pt2(folder, target="torch.ops.aten.from_file.default")
