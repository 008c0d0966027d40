"""An ONNX file holds nothing."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "got no graph"


def attack(folder: Path) -> None:
    put(folder, "model.onnx", b"")
