"""A length is so large that its end lies before its start."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "a field that is longer than its message|a number without an end"


def attack(folder: Path) -> None:
    put(folder, "model.onnx", b"\x3a" + b"\xff" * 9 + b"\x01" + b"\0" * 8)
