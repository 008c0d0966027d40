"""A node of the graph by itself: run on what is known of its arguments, or named in an error."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx.reference import ReferenceEvaluator

from rnn_export import errors
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.program.program import IR_VERSION, OPSET
from rnn_export.signature.tensors import Array

GENERATED = 'File "<'  # a place in code that is in no file
NOT_THE_USERS = [f"{Path(place).parent}{os.sep}" for place in (errors.__file__, torch.__file__)]


def evaluate(node: ir.Node, arguments: list[Value | None]) -> list[Array]:
    """Run one node in ONNX's reference evaluator, on numbers or on labels."""
    names = ["" if argument is None else f"in_{k}" for k, argument in enumerate(arguments)]
    results = [f"out_{k}" for k in range(len(node.outputs))]
    proto = onnx.NodeProto(op_type=node.op_type, input=names, output=results)
    proto.attribute.extend(ir.to_proto(attribute) for attribute in node.attributes.values())
    untyped = [onnx.ValueInfoProto(name=name) for name in names if name]
    graph = onnx.GraphProto(
        name="node", node=[proto], input=untyped, output=[onnx.ValueInfoProto(name=name) for name in results]
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    feeds: dict[str, Any] = {
        name: argument.labels if isinstance(argument, Symbol) else argument
        for name, argument in zip(names, arguments, strict=True)
        if argument is not None
    }
    return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, feeds)]


def where(node: ir.Node) -> str:
    """Name a node, and the line of the user's source that it comes from, where that is known."""
    trace = str(node.metadata_props.get("pkg.torch.onnx.stack_trace", ""))
    places = (line.strip() for line in trace.splitlines())
    lines = [line for line in places if line.startswith("File ") and not line.startswith(GENERATED)]
    own = [line for line in lines if not any(folder in line for folder in NOT_THE_USERS)]
    return f"node {node.name!r} ({node.op_type})" + (f", {(own or lines)[-1]}" if lines else "")
