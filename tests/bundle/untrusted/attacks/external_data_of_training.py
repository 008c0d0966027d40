"""What a training step would start from lies in another file."""

from pathlib import Path

import onnx

from tests.bundle.untrusted.attacks import edit_onnx, elsewhere

REFUSED = "got data in other files"


def attack(folder: Path) -> None:
    inner = onnx.GraphProto(name="inner", initializer=[elsewhere("/etc/passwd")])
    edit_onnx(folder, lambda model: model.training_info.append(onnx.TrainingInfoProto(initialization=inner)))
