"""A tensor of a ``.pt`` is another than its checksum says."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, zipped

REFUSED = "model.pt: .* got another checksum of model/data/0|Bad CRC"


def attack(folder: Path) -> None:
    content = zipped(("model/data/0", b"12345678"))
    put_pt(folder, content.replace(b"12345678", b"12345679"))
