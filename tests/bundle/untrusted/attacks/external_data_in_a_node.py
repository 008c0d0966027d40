"""An attribute of a node lies in another file."""

from pathlib import Path

from tests.bundle.untrusted.attacks import constant, edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    node = constant("c", value=elsewhere("/etc/passwd"))
    edit_onnx(folder, lambda model: model.graph.node.append(node))
