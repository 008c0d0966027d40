"""Millions of empty fields."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "more than 1048576 fields"


def attack(folder: Path) -> None:
    put(folder, "model.onnx", b"\x08\x08" * 1_100_000)
