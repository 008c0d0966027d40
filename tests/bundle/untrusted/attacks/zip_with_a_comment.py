"""A ``.pt`` ends in a second archive, as a comment."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt

REFUSED = "model.pt: .* got other records at its end"


def attack(folder: Path) -> None:
    content = (folder / "model.pt").read_bytes()
    put_pt(folder, content[:-2] + len(content).to_bytes(2, "little") + content)
