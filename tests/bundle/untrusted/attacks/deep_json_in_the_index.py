"""Lists in lists, where the golden vectors are listed."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "index.json cannot be read: nested too deep"


def attack(folder: Path) -> None:
    put(folder, "golden/index.json", b'{"a":' * 100_000)
