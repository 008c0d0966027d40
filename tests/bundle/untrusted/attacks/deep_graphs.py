"""Graphs lie in graphs, deeper than a parser may call itself."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put, varint

REFUSED = "messages nested too deep"


def attack(folder: Path) -> None:
    content = b""
    for _ in range(200):  # a graph (6) in an attribute (5) of a node (1) of a graph
        for field in (6, 5, 1):
            content = bytes([field << 3 | 2]) + varint(len(content)) + content
    model = b"\x3a" + varint(len(content)) + content
    put(folder, "model.onnx", model)
