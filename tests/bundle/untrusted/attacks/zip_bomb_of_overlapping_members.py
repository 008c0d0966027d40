"""A hundred members of a ``.pt`` share their bytes (David Fifield, A better zip bomb)."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, tail, zipped

REFUSED = "model.pt: .* got members that do not lie one behind another"


def attack(folder: Path) -> None:
    content = zipped(("model/data/0", b"\0" * 100_000))
    start = content.index(b"PK\x01\x02")
    entry = content[start:-98]
    entries = b"".join(entry.replace(b"data/0", b"data/%d" % number) for number in range(10))
    put_pt(folder, content[:start] + entries + tail(10, len(entries), start))
