"""The one intermediate form: an ONNX model and what a call of it looks like.

Frontends make Programs, passes turn one into a better one, backends write files from it. The canonical
recurrence is ONNX's ``Scan``; all else is ordinary ONNX. The inputs and outputs of the graph are those of the
signature, in its order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from rnn_export.signature import Array, Signature

OPSET = 18
IR_VERSION = 8
FATAL_ONLY = 4


@dataclass(frozen=True)
class Program:
    """An ONNX model and its signature. Treat ``model`` as read-only; :meth:`copy` it to change it."""

    model: ir.Model
    signature: Signature

    def copy(self) -> "Program":
        """Give a Program of its own, down to the nodes."""
        return Program(ir.from_proto(ir.to_proto(self.model)), self.signature)

    def proto(self) -> onnx.ModelProto:
        """Give the ONNX model as others read it."""
        return ir.to_proto(self.model)

    def sample(self, time: int, batch: int) -> list[Array]:
        """Draw the inputs and the state of a call; token ids are 0 and 1, which every vocabulary has."""
        random = np.random.default_rng(0)
        specs = (self.signature.inputs, *self.signature.state)
        shapes = [spec.sized(time=time, batch=batch) for spec in specs]
        return [
            random.standard_normal(shape).astype(spec.dtype)
            if np.dtype(spec.dtype).kind == "f"
            else random.integers(0, 2, shape).astype(spec.dtype)
            for spec, shape in zip(specs, shapes, strict=True)
        ]

    def run(self, inputs: Array, state: Sequence[Array]) -> list[Array]:
        """Run a call in ONNX Runtime; give the outputs and the leaves of the new state."""
        feeds = dict(zip(self.signature.input_names, (inputs, *state), strict=True))
        return run_model(self.proto(), feeds, self.signature.output_names)


def run_model(model: onnx.ModelProto, feeds: dict[str, Array], outputs: Sequence[str]) -> list[Array]:
    """Run an ONNX model once, on one thread, as it is: without ONNX Runtime's own optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results: list[Array] = session.run(outputs, feeds)
    return results


def name_apart(model: ir.Model) -> None:
    """Number the nodes, and call every value after the node that makes it.

    Inputs and outputs of the model and its initializers keep their names.
    """
    fixed = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    fixed |= set(model.graph.initializers)
    renamed = [value for graph in model.graphs() for value in _values(graph)]
    for number, value in enumerate(renamed):
        if value not in model.graph.outputs and value not in model.graph.inputs:
            value.name = f"renaming/{number}"
    counter = 0
    for graph in model.graphs():
        for value in () if graph is model.graph else graph.inputs:
            value.name, counter = _free(f"step_{counter}", fixed), counter + 1
        for node in graph:
            node.name, counter = f"{node.op_type}_{counter}", counter + 1
            for place, value in enumerate(node.outputs):
                if value not in model.graph.outputs:
                    value.name = _free(node.name if not place else f"{node.name}_{place}", fixed)


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs


def _free(name: str, taken: set[str | None]) -> str:
    while name in taken:
        name += "_"
    return name
