"""A ``.pt`` ends in the middle."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt

REFUSED = "model.pt: .* got other records at its end"


def attack(folder: Path) -> None:
    put_pt(folder, (folder / "model.pt").read_bytes()[:-300])
