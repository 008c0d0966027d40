"""A ``.pt2`` holds a compiled library, which is loaded with it."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*a member that torch.export has not"


def attack(folder: Path) -> None:
    put_pt2(folder, {"data/aotinductor/model/model.so": b"\x7fELF"})
