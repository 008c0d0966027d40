"""Weights lie in a file beside the model."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_onnx, elsewhere, put

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    put(folder, "weights.bin", bytes(16))
    edit_onnx(folder, lambda model: model.graph.initializer.append(elsewhere("weights.bin")))
