"""A ``.pt2`` has no graph."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put, zipped

REFUSED = "model.pt2: .*no models/model.json"


def attack(folder: Path) -> None:
    put(folder, "model.pt2", zipped(("archive/version", b"3\n")))
