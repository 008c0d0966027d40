"""An ONNX file ends in the middle."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "a field that is longer than its message|a number without"


def attack(folder: Path) -> None:
    put(folder, "model.onnx", (folder / "model.onnx").read_bytes()[:-100])
