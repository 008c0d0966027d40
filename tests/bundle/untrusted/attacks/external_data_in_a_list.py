"""One of several tensors of an attribute lies in another file."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import constant, edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    node = constant("c")
    node.attribute.add(name="values", type=onnx.AttributeProto.TENSORS, tensors=[elsewhere("/etc/passwd")])
    edit_onnx(folder, lambda model: model.graph.node.append(node))
