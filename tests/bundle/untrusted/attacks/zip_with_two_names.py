"""A member of a ``.pt`` has one name in its place and another in the directory."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt

REFUSED = "model.pt: .* got another checksum of archive/data/1"


def attack(folder: Path) -> None:
    content = (folder / "model.pt").read_bytes()
    put_pt(folder, content.replace(b"archive/data/1", b"archive/data/9", 1))
