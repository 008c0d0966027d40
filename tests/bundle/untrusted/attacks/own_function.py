"""The model brings a function of its own under the name of an operator."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx

REFUSED = "got functions of its own"


def attack(folder: Path) -> None:
    function = onnx.FunctionProto(name="Tanh", domain="", input=["x"], output=["x"])
    edit_onnx(folder, lambda model: model.functions.append(function))
