"""An operator is one of others: a library that is loaded may have put it there."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx

REFUSED = "got operators of 'com.example'"


def attack(folder: Path) -> None:
    node = onnx.helper.make_node("Run", ["inputs"], ["x"], domain="com.example")
    edit_onnx(folder, lambda model: model.graph.node.append(node))
