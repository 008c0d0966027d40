"""``model.onnx``: names, shapes and metadata as every bundle has them, checked and written."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from rnn_export.backends.empty_calls import answer_empty_calls
from rnn_export.program.build import Builder
from rnn_export.program.computed import with_sources
from rnn_export.program.program import IR_VERSION, weights_apart
from rnn_export.signature.as_json import to_json
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import TensorSpec
from rnn_export.version import __version__

PRODUCER = "rnn_export"


def finish(
    model: ir.Model,
    signature: Signature,
    name: str,
    metadata: Mapping[str, str],
    prefix: str = "",
    *,
    one_step: bool = False,
) -> onnx.ModelProto:
    """Give a model the project's names, shapes and metadata, in place, and check it.

    Inputs and outputs get the signature's dtypes and shapes, with the symbolic sizes ``time`` and ``batch``;
    an input that the net never reads, which exporters leave out, is there all the same. Initializers lose
    ``prefix``, so that they are called as the module calls its parameters. A call without a time step or
    without a row is answered. A model of ``one_step`` has no time axis, and no branch for such a call.
    """
    call = signature.one_step if one_step else signature
    model.ir_version = IR_VERSION
    model.producer_name = PRODUCER
    model.producer_version = __version__
    model.graph.name = name
    read = {value.name: value for value in model.graph.inputs}
    inputs = [read.get(name) or ir.Value(name=name) for name in signature.input_names]
    model.graph.inputs[:] = inputs
    for value, spec in zip(inputs, call.arguments, strict=True):
        _annotate(value, spec)
    for value, spec in zip(model.graph.outputs, call.results, strict=True):
        _annotate(value, spec)
    _strip_prefix(model.graph, prefix)
    if not one_step:
        answer_empty_calls(model.graph, signature)
        _flatten(model.graph, signature)
    _put_in_order(model.graph, signature)
    model.graph.doc_string = _explained(model.graph)
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # of the exporter: paths on its machine, lines of the module
    model.metadata_props.update(_metadata(call, name, metadata))
    onnx.checker.check_model(weights_apart(model)[0], full_check=True)
    return ir.to_proto(model)


def _explained(graph: ir.Graph) -> str:
    """Say in one text what is said of single nodes: viewers of graphs show it beside the picture."""
    said = {node.doc_string: node.op_type for node in graph.all_nodes() if node.doc_string}
    return "\n".join(f"{operator}: {text}" for text, operator in said.items())


def _flatten(graph: ir.Graph, signature: Signature) -> None:
    """Let outputs have time and batch as one axis, where those of the module have."""
    build = Builder()
    for place, spec in enumerate(signature.outputs):
        if spec.flattened:
            apart = graph.outputs[place]
            sizes = build.constant([-1, *(size for size in spec.shape if isinstance(size, int))])
            flat = build.emit("Reshape", [apart, sizes], like=apart, shape=spec.in_file.shape)
            flat.name, apart.name = apart.name, f"{apart.name}/apart"
            graph.outputs[place] = flat
    graph.extend(build.nodes)


def _put_in_order(graph: ir.Graph, signature: Signature) -> None:
    """Let inputs and outputs stand in the order of the module's own arguments and results."""
    inputs = dict(zip(signature.input_names, graph.inputs, strict=True))
    outputs = dict(zip(signature.output_names, graph.outputs, strict=True))
    graph.inputs[:] = [inputs[name] for name in signature.file_inputs]
    graph.outputs[:] = [outputs[name] for name in signature.file_outputs]


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write one self-contained file: the same model gives the same bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _annotate(value: ir.Value, spec: TensorSpec) -> None:
    value.shape = ir.Shape(spec.shape)
    value.dtype = ir.DataType.from_numpy(np.dtype(spec.dtype))


def _strip_prefix(graph: ir.Graph, prefix: str) -> None:
    taken = {value.name for node in graph.all_nodes() for value in node.outputs}
    taken |= {value.name for value in graph.inputs}
    for initializer in list(graph.initializers.values()):
        short = with_sources(initializer.name or "", lambda name: name.removeprefix(prefix))
        if short not in taken:
            initializer.name = short


def _metadata(signature: Signature, name: str, metadata: Mapping[str, str]) -> dict[str, str]:
    pairs = {leaf.output_name: leaf.name for leaf in signature.state}
    facts = {
        "rnn_export.name": name,
        "rnn_export.signature": json.dumps(to_json(signature)),
        "rnn_export.state": json.dumps(pairs),
        "rnn_export.streamable": json.dumps(signature.streamable),
    }
    return {**facts, **{f"rnn_export.metadata.{key}": value for key, value in metadata.items()}}
