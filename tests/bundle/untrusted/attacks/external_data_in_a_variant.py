"""Weights of a variant lie in another file."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import elsewhere, put

REFUSED = "scan.onnx: .*got data in other files"


def attack(folder: Path) -> None:
    model = onnx.load(folder / "variants" / "scan.onnx")
    model.graph.initializer.append(elsewhere("/etc/passwd"))
    put(folder, "variants/scan.onnx", model.SerializeToString())
