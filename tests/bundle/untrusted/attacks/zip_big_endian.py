"""A ``.pt`` says that its tensors are big-endian."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, zipped

REFUSED = "model.pt: .* got another byte order than little"


def attack(folder: Path) -> None:
    members = [("model/data/0", b"12345678"), ("model/byteorder", b"big")]
    put_pt(folder, zipped(*members))
