"""A ``.pt2`` holds its weights as it did once, in a pickle."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*a member that torch.export has not"


def attack(folder: Path) -> None:
    put_pt2(folder, {"data/weights/model.pt": b"\x80\x02."})
