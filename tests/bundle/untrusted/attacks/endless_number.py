"""A number has no end."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "a number without an end"


def attack(folder: Path) -> None:
    put(folder, "model.onnx", b"\x08" + b"\xff" * 1_000_000)
