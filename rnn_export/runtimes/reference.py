"""The ONNX project's reference evaluator: slow, plain numpy, the standard's own reading of a model."""

from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError, RuntimeUnavailableError, mismatch
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array

IGNORED = "sequence_lens"


class GatherElements(OpRun):
    """The operator for any number of entries: the evaluator's own takes no more than 64 along its axis."""

    op_domain = ""

    def _run(self, data: Array, indices: Array, axis: int) -> tuple[Array]:
        around = tuple(
            slice(None) if place == axis % data.ndim else slice(size)
            for place, size in enumerate(indices.shape)
        )
        return (np.take_along_axis(data[around], indices, axis),)


def start(path: Path, signature: Signature, read: Read = Path.read_bytes) -> Call:
    """Load an ONNX file.

    Raises:
        BundleError: it is no ONNX file; the call raises it as well, with the operator that fails.
        RuntimeUnavailableError: the evaluator does not know an operator, or would ignore an input of one.
    """
    try:
        model = onnx.load_model_from_string(read(path))
    except DecodeError as error:
        raise BundleError(f"{path} cannot be read: {error}. Export it again.") from error
    for node in _nodes(model.graph):
        given = dict(
            zip((part.name for part in onnx.defs.get_schema(node.op_type).inputs), node.input, strict=False)
        )
        if given.get(IGNORED):
            raise RuntimeUnavailableError(f"the reference evaluator ignores {IGNORED} of {node.op_type}")
    try:
        evaluator = ReferenceEvaluator(model, new_ops=[GatherElements])
    except RuntimeError as error:
        raise RuntimeUnavailableError(f"the reference evaluator cannot load it: {error}") from error
    names, results = signature.input_names, signature.output_names

    def call(*arguments: Array) -> list[Array]:
        feeds = dict(zip(names, arguments, strict=True))
        try:
            with np.errstate(all="ignore"):  # numpy warns where a sigmoid saturates
                found = [np.asarray(result) for result in evaluator.run(results, feeds)]
        except Exception as error:  # whatever numpy raises
            reason = f"{type(error).__name__}: {error}"
            where = f"{path.name}, {_failing(error)}"
            remedy = "Check the bundle with rnn_export.verify()."
            raise BundleError(mismatch(where, "a result", reason, remedy)) from error
        return signature.apart(arguments, found)

    return call


def _failing(error: Exception) -> str:
    """Name the operator in which the evaluator was, the innermost one."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    found = [frame.f_locals["self"] for frame in frames if isinstance(frame.f_locals.get("self"), OpRun)]
    node = found[-1].onnx_node if found else None
    return f"{node.op_type} {node.name!r}" if node else "the reference evaluator"


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """List the nodes of a graph, and of the graphs inside."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)
