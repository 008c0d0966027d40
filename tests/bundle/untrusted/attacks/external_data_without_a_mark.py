"""A tensor names a file, and does not say that its data lies there."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    tensor = elsewhere("/etc/passwd")
    tensor.data_location = onnx.TensorProto.DEFAULT
    edit_onnx(folder, lambda model: model.graph.initializer.append(tensor))
