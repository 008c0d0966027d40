"""A field is a group, which parsers skip each in their own way."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "a field of wire type 3"


def attack(folder: Path) -> None:
    content = (folder / "model.onnx").read_bytes()
    put(folder, "model.onnx", content + b"\xa3\x06\xa4\x06")
