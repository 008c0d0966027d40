"""A member of a ``.pt`` says that it has four gigabytes."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, zipped

REFUSED = "model.pt: .* got "


def attack(folder: Path) -> None:
    content = bytearray(zipped(("model/data/0", b"12345678")))
    start = content.index(b"PK\x01\x02")
    content[start + 20 : start + 28] = b"\xfe\xff\xff\xff" * 2
    put_pt(folder, bytes(content))
