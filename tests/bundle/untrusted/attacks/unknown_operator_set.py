"""The model asks for a set of operators of others."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_onnx

REFUSED = "got operators of 'com.example'"


def attack(folder: Path) -> None:
    edit_onnx(folder, lambda model: model.opset_import.add(domain="com.example", version=1))
