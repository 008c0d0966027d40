"""A ``.pt`` is a program for the shell as well, and its records know of it."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, tail, zipped

REFUSED = "model.pt: .* got members that do not lie one behind another"


def attack(folder: Path) -> None:
    content = zipped(("model/data/0", b"12345678"))
    start = content.index(b"PK\x01\x02")
    entry = content[start:-98]
    moved = entry[:42] + (10).to_bytes(4, "little") + entry[46:]
    put_pt(folder, b"#!/bin/sh\n" + content[:start] + moved + tail(1, len(moved), start + 10))
