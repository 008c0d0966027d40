"""Eager PyTorch: the module itself, in float32 or float64. What every file is compared with."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from rnn_export.errors import ModelError, mismatch
from rnn_export.exclusive import LOCK
from rnn_export.module.copying import copied
from rnn_export.module.precision import InPrecision
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Ragged
from rnn_export.signature.signature import Array, Call


def start(subject: Subject, dtype: torch.dtype) -> Call:
    """Run a copy of the module in a precision; floating-point inputs and state are converted to it.

    Raises (when called):
        ModelError: the module fails there, or its results have shapes that do not follow time and batch.
    """
    signature = subject.signature
    model: nn.Module = subject.flat(copied(subject.model).to(dtype))
    model = Ragged(model, signature) if signature.lengths else model
    name = type(subject.original).__name__
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
                raise ModelError(
                    f"{name} failed in {dtype} on inputs {list(arguments[0].shape)}: {error}. "
                    "It has to run for any number of time steps and rows, and in float64 as a reference."
                ) from error
        for result, output, spec in zip(results, signature.output_names, signature.results, strict=True):
            if result.shape != spec.sized(**sizes):
                raise ModelError(
                    mismatch(
                        f"{output} of {name} for {sizes}",
                        list(spec.sized(**sizes)),
                        list(result.shape),
                        "Its shape may depend on time and batch alone.",
                    )
                )
        return results

    return call


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
