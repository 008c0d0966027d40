"""A field says that it has two gigabytes."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "a field that is longer than its message"


def attack(folder: Path) -> None:
    put(folder, "model.onnx", b"\x3a\xff\xff\xff\xff\x07" + b"\0" * 8)
