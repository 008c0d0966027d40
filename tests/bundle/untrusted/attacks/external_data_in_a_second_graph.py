"""The graph comes twice: a parser joins the two, who looks at one misses the other."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import elsewhere, put

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    more = onnx.ModelProto()
    more.graph.initializer.append(elsewhere("/etc/passwd"))
    put(folder, "model.onnx", (folder / "model.onnx").read_bytes() + more.SerializeToString())
