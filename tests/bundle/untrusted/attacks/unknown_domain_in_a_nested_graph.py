"""An operator of a graph in a graph is one of others."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx

REFUSED = "got operators of 'com.microsoft'"


def attack(folder: Path) -> None:
    inner = onnx.GraphProto(node=[onnx.helper.make_node("Run", [], ["x"], domain="com.microsoft")])
    node = onnx.helper.make_node("If", ["c"], ["r"], then_branch=inner, else_branch=inner)
    edit_onnx(folder, lambda model: model.graph.node.append(node))
