"""A model of the repository: in a Triton, over gRPC, or without one in ONNX Runtime, which stands in for it.

Both take and give arrays with the batch in front, by name, and keep the state of each sequence.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, model_config_pb2

from recurrent import Array

DTYPES = {"TYPE_FP32": "float32", "TYPE_INT64": "int64", "TYPE_BOOL": "bool"}
DATATYPES = {"float32": "FP32", "int64": "INT64", "bool": "BOOL"}


class Served(Protocol):
    """A model that keeps the state of sequences."""

    def infer(self, inputs: dict[str, Array], sequence_id: int, start: bool, end: bool) -> dict[str, Array]:
        """Send a part of a sequence; give its outputs."""


def read_config(folder: Path) -> Any:
    """Read ``config.pbtxt`` as Triton does.

    Raises:
        ValueError: it is none.
        OSError: it is not there.
    """
    text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{folder / 'config.pbtxt'}: {error}") from error


class StandIn:
    """What Triton's sequence batcher does with a model, by its configuration, for sequences of one row."""

    def __init__(self, folder: Path) -> None:
        self.config = read_config(folder)
        self.session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
        self.outputs = [output.name for output in self.config.output]
        self.first = {leaf.input_name: _first(folder, leaf) for leaf in self.config.sequence_batching.state}
        self.after = {leaf.output_name: leaf.input_name for leaf in self.config.sequence_batching.state}
        self._states: dict[int, dict[str, Array]] = {}

    def infer(self, inputs: dict[str, Array], sequence_id: int, start: bool, end: bool) -> dict[str, Array]:
        """Send a part of a sequence; give its outputs.

        Raises:
            ValueError: the sequence has not begun.
        """
        if not start and sequence_id not in self._states:
            raise ValueError(f"sequence {sequence_id}: expected one that has begun, got none: send start")
        state = self.first if start else self._states[sequence_id]
        results = self.session.run([*self.outputs, *self.after], inputs | state)
        named = dict(zip([*self.outputs, *self.after], results, strict=True))
        self._states[sequence_id] = {self.after[name]: named.pop(name) for name in self.after}
        if end:
            del self._states[sequence_id]
        return named


def _first(folder: Path, leaf: Any) -> Array:
    """Give the first value of a leaf of the state, of one row."""
    [initial] = leaf.initial_state
    dtype = DTYPES[model_config_pb2.DataType.Name(initial.data_type)]
    if initial.zero_data:
        return np.zeros([1, *initial.dims], dtype)
    content = (folder / "initial_state" / initial.data_file).read_bytes()
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape([1, *initial.dims])


class Remote:
    """A model in a Triton that listens for gRPC at an address, ``127.0.0.1:8001``."""

    def __init__(self, address: str, name: str) -> None:
        self.client, self.name = InferenceServerClient(address), name
        self.outputs = [output.name for output in self.client.get_model_metadata(name).outputs]

    def infer(self, inputs: dict[str, Array], sequence_id: int, start: bool, end: bool) -> dict[str, Array]:
        """Send a part of a sequence; give its outputs."""
        sent = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), DATATYPES[str(array.dtype)])
            sent.append(tensor.set_data_from_numpy(array))
        wanted = [InferRequestedOutput(name) for name in self.outputs]
        about = {"sequence_id": sequence_id, "sequence_start": start, "sequence_end": end}
        answer = self.client.infer(self.name, sent, outputs=wanted, **about)
        return {name: answer.as_numpy(name) for name in self.outputs}
