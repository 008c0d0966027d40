"""The one intermediate form: an ONNX model and what a call of it looks like.

Frontends make Programs, passes turn one into a better one, backends write files from it. The canonical
recurrence is ONNX's ``Scan``, forward or reversed; all else is ordinary ONNX. The inputs and outputs of the
graph are those of the signature, in its order; a file of others has no signature.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from rnn_export.errors import OnnxFileError, mismatch
from rnn_export.program.build import Builder
from rnn_export.program.session import RUN
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, Array

OPSET = 18
IR_VERSION = 8
HEAVY = 1 << 14  # numbers: constants of more are handed over beside a model that is run, not inside
ORIGIN = "rnn_export.loop"  # in the metadata of a node: the number of the loop it comes from


@dataclass(frozen=True)
class Sampling:
    """How the calls of files of others are drawn: which they answer depends on the file.

    ``more`` are time steps and rows above those that are asked for. ``fewer`` says how many time steps less
    than all of them an integer without an axis counts, 1 at least; a truth value without an axis is true
    then. If it is ``None``, both are drawn as all others are.
    """

    more: tuple[int, int] = (0, 0)
    fewer: int | None = None


AS_ASKED = Sampling()
SAMPLING: ContextVar[Sampling] = ContextVar("sampling", default=AS_ASKED)


@contextmanager
def sampled(sampling: Sampling) -> Iterator[None]:
    """Let this thread draw calls in another way."""
    token = SAMPLING.set(sampling)
    try:
        yield
    finally:
        SAMPLING.reset(token)


@dataclass(frozen=True)
class Program:
    """An ONNX model, and its signature unless it is a file of others.

    Treat ``model`` as read-only; :meth:`copy` it to change it.
    """

    model: ir.Model
    signature: Signature | None = None

    def copy(self) -> "Program":
        """Give a Program of its own, down to nodes and values; only the tensors of constants are shared."""
        return Program(self.model.clone(), self.signature)

    def proto(self) -> onnx.ModelProto:
        """Give the ONNX model as others read it."""
        return ir.to_proto(self.model)

    def sample(self, time: int, batch: int, others: Mapping[str, int] | None = None) -> dict[str, Array]:
        """Draw the inputs of a call, by name; integers are 0 and 1, which every vocabulary has.

        Lengths are numbers of time steps.

        Sizes that a file calls otherwise than ``time`` and ``batch`` are kept apart: the first of them takes
        the place of the one that is missing, the others get numbers of their own. :data:`SAMPLING` may say
        that there are more of them. ``others`` gives numbers to some of these sizes.

        Raises:
            OnnxFileError: an input is no tensor of numbers, or its rank is unknown.
        """
        sampling = SAMPLING.get()
        time, batch = time + sampling.more[0], batch + sampling.more[1]
        random = np.random.default_rng((time, batch))
        sizes = _sizes(self.model.graph.inputs, time, batch) | dict(others or {})
        drawn = {str(value.name): _draw(random, value, sizes) for value in self.model.graph.inputs}
        if takes_lengths(self):
            drawn[LENGTHS.name] = random.integers(0, time + 1, batch)
        if sampling.fewer is not None:
            count = max(1, time - sampling.fewer)
            single = {
                name: value for name, value in drawn.items() if not value.ndim and value.dtype.kind in "iub"
            }
            drawn |= {name: np.array(count, value.dtype) for name, value in single.items()}
        return drawn

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Any]:
        """Run a call in ONNX Runtime; give all outputs by name, a sequence as a list of arrays."""
        names = [str(value.name) for value in self.model.graph.outputs]
        model, weights = weights_apart(self.model)
        return dict(zip(names, run_model(model, {**weights, **feeds}, names), strict=True))


def weights_apart(model: ir.Model) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Give an ONNX model with its heavy weights as inputs, and these: no copy of them is made."""
    model = model.clone()
    graph, weights = model.graph, dict[str, Array]()
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and _is_heavy(value, tensor) and value not in graph.inputs:
            weights[name] = tensor.numpy()
            value.shape, value.type = ir.Shape(tensor.shape.numpy()), ir.TensorType(tensor.dtype)
            del graph.initializers[name]
            graph.inputs.append(value)
    return ir.to_proto(model), weights


def _is_heavy(value: ir.Value, tensor: ir.TensorProtocol) -> bool:
    """Whether a constant is heavy, and may be any other input of the operators that read it."""
    floats = tensor.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE)
    known = all(node.domain == "" for node in value.consumers())
    return floats and tensor.size > HEAVY and known and not value.is_graph_output()


def takes_lengths(program: Program) -> bool:
    """Whether the graph has the signature's input ``lengths``, which is its last one then."""
    wanted = program.signature is not None and program.signature.lengths
    return wanted and LENGTHS.name == program.model.graph.inputs[-1].name


def _sizes(inputs: Sequence[ir.Value], time: int, batch: int) -> dict[str, int]:
    """Give every symbolic size of the inputs a number; all are 1 if ``time`` and ``batch`` are."""
    names = dict.fromkeys(
        _symbol(value, axis, size)
        for value in inputs
        for axis, size in enumerate(value.shape or ())
        if not isinstance(size, int)
    )
    known = {name: size for name, size in ((TIME, time), (BATCH, batch)) if name in names}
    others = [name for name in names if name not in known]
    numbers = [size for name, size in ((TIME, time), (BATCH, batch)) if name not in known]
    numbers += [time + (batch - 1) * place for place in range(1, len(others) + 1)]
    return known | dict(zip(others, numbers, strict=False))


def _symbol(value: ir.Value, axis: int, size: ir.SymbolicDim) -> str:
    return size.value or f"axis {axis} of {value.name}"


def _draw(random: np.random.Generator, value: ir.Value, sizes: Mapping[str, int]) -> Array:
    dtype = value.dtype.numpy() if isinstance(value.type, ir.TensorType) and value.dtype else None
    if value.shape is None or dtype is None or dtype.kind not in "fiubV":
        kind = "a tensor of unknown rank" if isinstance(value.type, ir.TensorType) else str(value.type)
        expected = "a tensor of numbers whose rank is known"
        raise OnnxFileError(mismatch(f"input {value.name!r}", expected, kind, "Declare its type and shape."))
    shape = [
        size if isinstance(size, int) else sizes[_symbol(value, axis, size)]
        for axis, size in enumerate(value.shape)
    ]
    whole = dtype.kind in "iub"
    return (random.integers(0, 2, shape) if whole else random.standard_normal(shape)).astype(dtype)


def run_model(model: onnx.ModelProto, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Any]:
    """Run an ONNX model once: here, or as :func:`rnn_export.program.session.running` says."""
    return RUN.get()(model.SerializeToString(), feeds, outputs)


def take_place(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Let ``new`` take the place and, as a graph's output, the name of ``old``."""
    for place, output in enumerate(graph.outputs):
        if output is old:
            build = Builder()
            copied = build.emit("Identity", [new], like=old)
            copied.name, old.name = old.name, None
            graph.extend(build.nodes)
            graph.outputs[place] = copied
    old.replace_all_uses_with(new)


def name_apart(model: ir.Model) -> None:
    """Number the nodes, and call every value after the node that makes it.

    Inputs and outputs of the model, and initializers, keep their names.
    """
    fixed = {value.name for value in (*model.graph.inputs, *model.graph.outputs)}
    fixed |= {name for graph in model.graphs() for name in graph.initializers}
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
