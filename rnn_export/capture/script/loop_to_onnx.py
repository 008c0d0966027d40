"""PyTorch's exporter of TorchScript, as a worker runs it: what it gives for one module, or why it fails.

The exporter is deprecated upstream, and written in C++ that ends its process for some modules.
"""

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import torch
from torch.onnx._internal.torchscript_exporter import (
    symbolic_helper,
    symbolic_opset9,
    symbolic_opset11,
    symbolic_opset13,
    utils,
)

from rnn_export.capture.script.specialize import specialized


def content(flat: torch.jit.ScriptModule, example: Sequence[torch.Tensor]) -> bytes:
    """Write down what is to be exported: a module that takes and gives tensors, and its example."""
    file = io.BytesIO()
    arrays: dict[str, Any] = {f"example_{number}": tensor.numpy() for number, tensor in enumerate(example)}
    np.savez(file, module=np.frombuffer(flat.save_to_buffer(), np.uint8), **arrays)
    return file.getvalue()


def export(options: Mapping[str, Any], content: bytes) -> bytes:
    """Export a module: a line with the reason if that fails, and the bytes of the ONNX file.

    ``options`` are the exporter's ``input_names``, ``output_names`` and ``opset_version``, and ``free``: the
    free axes of each input and output, as pairs of number and name.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        module, *example = (arrays[name] for name in arrays.files)
    named = dict(options)
    axes = {name: dict(pairs) for name, pairs in named.pop("free").items()}
    tensors, file = tuple(map(torch.from_numpy, example)), io.BytesIO()
    with warnings.catch_warnings(), _own_symbolics(named["opset_version"]):
        warnings.simplefilter("ignore")
        try:
            loaded = torch.jit.load(io.BytesIO(module))  # type: ignore[no-untyped-call]
            torch.onnx.export(
                specialized(loaded, tensors, named["opset_version"]),
                tensors,
                file,  # type: ignore[arg-type]
                dynamo=False,
                dynamic_axes=axes,
                **named,
            )
        except Exception as error:
            reason = str(error).strip().partition("\n")[0].partition("  [Caused by")[0]
            return (reason or type(error).__name__).encode() + b"\n"
    return b"\n" + file.getvalue()


@contextmanager
def _own_symbolics(opset: int) -> Iterator[None]:
    """Let the exporter write what ONNX defines, where its own table does not."""
    for name, symbolic in SYMBOLICS.items():
        utils.register_custom_op_symbolic(name, symbolic, opset)
    try:
        yield
    finally:
        for name in SYMBOLICS:
            utils.unregister_custom_op_symbolic(name, opset)


def _unbind(graph: Any, tensor: Any, axis: Any = 0, _outputs: int | None = None) -> Any:
    """Give ``tensor.unbind(axis)`` as a list whose entries do not have that axis.

    Upstream names the size of a piece as well. ``SplitToSequence`` ignores ``keepdims`` then, and every entry
    has an axis too many.
    """
    if _outputs is not None:
        return symbolic_opset13.unbind(graph, tensor, axis, _outputs)
    number = symbolic_helper._get_const(axis, "i", "dim")  # type: ignore[no-untyped-call]
    return graph.op("SplitToSequence", tensor, axis_i=number, keepdims_i=0)


def _unsafe_chunk(graph: Any, tensor: Any, chunks: Any, axis: Any = 0, _outputs: int | None = None) -> Any:
    """Give ``tensor.unsafe_chunk(chunks, axis)``, of which upstream has to know the size of the axis."""
    if _outputs is None:
        return symbolic_opset11.chunk(graph, tensor, chunks, axis)
    number = symbolic_helper._get_const(axis, "i", "dim")  # type: ignore[no-untyped-call]
    return graph.op("Split", tensor, axis_i=number, num_outputs_i=_outputs, outputs=_outputs)


def _same(graph: Any, tensor: Any) -> Any:
    """Give ``tensor.cpu()``: it is there."""
    return graph.op("Identity", tensor)


def _full(graph: Any, sizes: Any, value: Any, dtype: Any, *others: Any) -> Any:
    """Give ``torch.full(sizes, 1)`` as whole numbers, and truth values, which upstream takes for floats."""
    number = symbolic_helper._maybe_get_const(value, "t")
    known = symbolic_helper._is_none(dtype) and isinstance(number, torch.Tensor)
    if known and not number.is_floating_point():
        return graph.op("ConstantOfShape", sizes, value_t=number.view(1))
    return symbolic_opset9.full(graph, sizes, value, dtype, *others)


@symbolic_helper.parse_args("v", "v", "is", "is", "is", "is")
def _col2im(graph: Any, blocks: Any, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """Add up blocks, of two axes as PyTorch has them; upstream asks for the number of these, and dies."""
    pads = [*padding, *padding]  # the beginnings first, as ONNX has it
    shape = graph.op("Constant", value_t=torch.tensor(kernel))
    return graph.op("Col2Im", blocks, size, shape, dilations_i=dilation, pads_i=pads, strides_i=stride)


@symbolic_helper.parse_args("v", "v", "i", "f", "v")
def _pad_packed(graph: Any, data: Any, sizes: Any, batch_first: int, padding: float, steps: Any) -> Any:
    """Give ``pad_packed_sequence``; upstream pads with zeros, and gives lengths of another dtype back."""
    padded, lengths = symbolic_opset9._pad_packed_sequence(graph, data, sizes, 0, 0.0, steps)
    lengths = _packed_by(sizes) or graph.op("Cast", lengths, to_i=onnx.TensorProto.INT64)
    if padding:
        zero, one, last = (graph.op("Constant", value_t=torch.tensor(number)) for number in (0, 1, [-1]))
        time = graph.op("Squeeze", graph.op("Shape", padded, start_i=0, end_i=1))
        numbers = graph.op("Unsqueeze", graph.op("Range", zero, time, one), last)
        running = graph.op("Unsqueeze", graph.op("Less", numbers, lengths), last)
        exact = graph.op("Constant", value_t=torch.tensor(padding, dtype=torch.float64))
        padded = graph.op("Where", running, padded, graph.op("CastLike", exact, padded))
    padded = graph.op("Transpose", padded, perm_i=[1, 0, 2]) if batch_first else padded
    return padded, lengths


def _packed_by(sizes: Any) -> Any:
    """Give the lengths that a sequence was packed by, as they were before the exporter made them int32."""
    pack = sizes.node()
    cast = pack.inputsAt(1).node() if pack.kind() == "prim::PackPadded" else None
    return cast.inputsAt(0) if cast is not None and cast.kind() == "onnx::Cast" else None


SYMBOLICS: dict[str, Callable[..., Any]] = {
    "aten::_pad_packed_sequence": _pad_packed,
    "aten::col2im": _col2im,
    "aten::cpu": _same,
    "aten::full": _full,
    "aten::unbind": _unbind,
    "aten::unsafe_chunk": _unsafe_chunk,
}


def read(answer: bytes) -> tuple[bytes, str]:
    """Give the bytes of the ONNX file, and the reason if there is none."""
    reason, _, content = answer.partition(b"\n")
    return content, reason.decode(errors="replace")
