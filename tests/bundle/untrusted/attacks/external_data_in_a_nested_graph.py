"""Weights of a graph in a graph lie in another file."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    inner = onnx.GraphProto(name="inner", initializer=[elsewhere("/etc/passwd")])
    node = onnx.helper.make_node("If", ["c"], ["r"], then_branch=inner, else_branch=inner)
    edit_onnx(folder, lambda model: model.graph.node.append(node))
