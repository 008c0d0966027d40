"""Eager PyTorch: the module itself, in float32 or float64. What every file is compared with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import ref

import numpy as np
import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from rnn_export.errors import ModelError, class_name, mismatch
from rnn_export.exclusive import LOCK
from rnn_export.module.copying import copied
from rnn_export.module.precision import InPrecision
from rnn_export.module.rows import ONE_ENTRY
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Ragged
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array, TensorSpec

# Of parameters: those in other precisions that copies share, and of which version they are.
_SHARED: Any = WeakIdKeyDictionary()


def start(subject: Subject, dtype: torch.dtype) -> Call:
    """Run a copy of the module in a precision; floating-point inputs and state are converted to it.

    Raises (when called):
        ModelError: the module fails there, or its results have shapes that do not follow time and batch.
    """
    return caller(prepare(subject, dtype), subject, dtype)


def prepare(subject: Subject, dtype: torch.dtype, *, own: bool = False) -> nn.Module:
    """Copy the module in a precision, as ``(*inputs, *state) -> (*outputs, *new_state)``, lengths last.

    The copies that are there at one time share their parameters, unless one is to have its ``own``.
    """
    parameters = [] if own else [each for each in subject.model.parameters() if type(each) is nn.Parameter]
    shared = {id(each): _shared(each, dtype) for each in parameters}
    flat = subject.flat(_converted(copied(subject.model, shared), dtype))
    return Ragged(flat, subject.signature) if subject.signature.lengths else flat


def _shared(parameter: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    """Give a parameter in a precision, the one that another copy has if there is one."""
    known = _SHARED.setdefault(parameter, {})
    version, there = known.get(dtype, (-1, _nothing))
    found = there() if version == parameter._version else None
    if found is None:
        given = parameter.detach().cpu()
        converted = _in(given, dtype)
        found = nn.Parameter(converted.clone() if converted is given else converted, requires_grad=False)
        known[dtype] = parameter._version, ref(found)
    return found


def _nothing() -> None:
    return None


def _in(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Give numbers in a precision; complex ones stay such, and what holds no floats stays as it is."""
    if tensor.is_complex():
        return tensor.to(dtype.to_complex())
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _converted(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert parameters and buffers: ``model.to(dtype)`` makes complex ones real."""
    converted: nn.Module = model._apply(lambda tensor: _in(tensor, dtype))  # type: ignore[no-untyped-call]
    return converted


def caller(model: nn.Module, subject: Subject, dtype: torch.dtype) -> Call:
    """Run what :func:`prepare` gave, as it is at each call; as :func:`start` does."""
    signature = subject.signature
    name = class_name(subject.original)
    in_precision = InPrecision(getattr(torch, signature.dtype), dtype)

    def tensor(array: Array) -> torch.Tensor:
        converted = torch.from_numpy(np.array(array))
        return converted.to(dtype) if converted.is_floating_point() else converted

    def call(*arguments: Array) -> list[Array]:
        sizes: dict[str, int] = {}
        for spec, array in zip(signature.arguments, arguments, strict=True):
            sizes |= {str(spec.shape[axis]): array.shape[axis] for axis in spec.free_axes}
        with _one_thread(), torch.no_grad():
            given = list(map(tensor, arguments))  # outside, where nothing converts them again
            try:
                results = [result.numpy() for result in in_precision(lambda: model(*given))]
            except Exception as error:
                shapes = _shapes(arguments[: len(signature.inputs)])
                raise ModelError(
                    f"{name} failed in {dtype} on inputs {shapes}: {error}. "
                    "It has to run for any number of time steps and rows, and in float64 as a reference; a "
                    "quantized module does not: export the one that it was made of."
                ) from error
        for result, output, spec in zip(results, signature.output_names, signature.results, strict=True):
            if result.shape != spec.sized(**sizes):
                raise ModelError(
                    mismatch(
                        f"{output} of {name} for {sizes}",
                        list(spec.sized(**sizes)),
                        list(result.shape),
                        _remedy(spec, sizes, result.shape, signature),
                    )
                )
        return results

    return call


def _remedy(spec: TensorSpec, sizes: Mapping[str, int], shape: Sequence[int], signature: Signature) -> str:
    """Say what to do about a result of another shape."""
    expected = spec.sized(**sizes)
    if any(given.counts_steps for given in signature.inputs):
        return (
            "Give pad_packed_sequence total_length=, the number of time steps of the inputs. Or leave the "
            "packing out, and export with lengths=True."
        )
    if [size for size in expected if size != 1] == [size for size in shape if size != 1]:
        return ONE_ENTRY
    if len(expected) == len(shape) and spec.time_axis is not None:
        return "Return one output for each time step, or that of the last one alone."
    return "Its shape may depend on time and batch alone."


def _shapes(arrays: Sequence[Array]) -> str:
    return ", ".join(str(list(array.shape)) for array in arrays)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run on one thread of PyTorch's, of which the process has a single number."""
    with LOCK:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
