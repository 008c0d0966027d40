"""What the files of a bundle are called."""

MODEL_PT = "model.pt"
MODEL_PT2 = "model.pt2"  # an exported program, if it is asked for
MODEL_ONNX = "model.onnx"
STEP_ONNX = "step.onnx"  # one time step, in plain operators
MODEL_C = "model.c"
MODEL_H = "model.h"
WEIGHTS = "model.c.weights"  # the numbers of a large model.c
NOT_ASKED = "it was not asked for"  # why a file was left out that export() can be told to leave out
LOOP = "loop"  # the form that the scripted module has


def variant(form: str) -> str:
    """Name the file of a form of the model in ONNX.

    >>> variant("scan")
    'variants/scan.onnx'
    """
    return f"variants/{form}.onnx"
