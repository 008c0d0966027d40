"""The values of a sparse tensor lie in another file."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    sparse = onnx.SparseTensorProto(values=elsewhere("/etc/passwd"), dims=[4])
    edit_onnx(folder, lambda model: model.graph.sparse_initializer.append(sparse))
