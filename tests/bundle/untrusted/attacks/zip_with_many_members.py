"""The directory of a ``.pt`` announces a million members."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, tail

REFUSED = "model.pt: .* got other records at its end"


def attack(folder: Path) -> None:
    content = (folder / "model.pt").read_bytes()
    start = content.index(b"PK\x01\x02")
    put_pt(folder, content[:-98] + tail(1 << 15, len(content) - 98 - start, start))
