"""ONNX Runtime on the CPU, one thread: a recurrent step is too small to be shared between cores."""

from pathlib import Path

import onnxruntime

from rnn_export.runtimes import Call
from rnn_export.signature import Array, Signature

ERRORS_ONLY = 3


def start(path: Path, signature: Signature) -> Call:
    """Load an ONNX file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names, results = signature.input_names, signature.output_names

    def call(*arguments: Array) -> list[Array]:
        arrays: list[Array] = session.run(results, dict(zip(names, arguments, strict=True)))
        return arrays

    return call
