"""The ONNX project's reference evaluator: slow, plain numpy, the standard's own reading of a model."""

from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from rnn_export.runtimes import Call
from rnn_export.signature import Array, Signature


def start(path: Path, signature: Signature) -> Call:
    """Load an ONNX file."""
    evaluator = ReferenceEvaluator(onnx.load(path, load_external_data=False))
    names, results = signature.input_names, signature.output_names

    def call(*arguments: Array) -> list[Array]:
        feeds = dict(zip(names, arguments, strict=True))
        return [np.asarray(result) for result in evaluator.run(results, feeds)]

    return call
