"""Weights are a file of the system (CVE-2022-25882)."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    edit_onnx(folder, lambda model: model.graph.initializer.append(elsewhere("/etc/passwd")))
