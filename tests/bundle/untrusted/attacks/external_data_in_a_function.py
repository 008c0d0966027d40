"""A function of the model reads another file."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import constant, edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    body = constant("c", value=elsewhere("/etc/passwd"))
    function = onnx.FunctionProto(name="f", domain="", output=["c"], node=[body])
    edit_onnx(folder, lambda model: model.functions.append(function))
