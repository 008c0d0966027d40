"""Eager PyTorch: the module itself, in float32 or float64. What every file is compared with."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from rnn_export.errors import ModelError, mismatch
from rnn_export.runtimes import Call
from rnn_export.signature import Array, tree_build, tree_leaves
from rnn_export.subject import Subject


def start(subject: Subject, dtype: torch.dtype) -> Call:
    """Run a copy of the module in a precision; floating-point inputs and state are converted to it.

    Raises (when called):
        ModelError: the module fails there, or its results have shapes that do not follow time and batch.
    """
    signature, model = subject.signature, copy.deepcopy(subject.model).to(dtype)

    def tensor(array: Array) -> torch.Tensor:
        converted = torch.from_numpy(np.array(array))
        return converted.to(dtype) if converted.is_floating_point() else converted

    def call(inputs: Array, state: Sequence[Array]) -> list[Array]:
        leaves = {spec.name: tensor(leaf) for spec, leaf in zip(signature.state, state, strict=True)}
        sizes = {"time": inputs.shape[0], "batch": inputs.shape[1]}
        with _alone(dtype):
            try:
                outputs, new_state = model(tensor(inputs), tree_build(signature.tree, leaves.__getitem__))
            except Exception as error:
                raise ModelError(
                    f"{type(model).__name__} failed in {dtype} on inputs {list(inputs.shape)}: {error}. "
                    "It has to run for any number of time steps and rows, and in float64 as a reference."
                ) from error
        results = [result.numpy() for result in (outputs, *tree_leaves(new_state))]
        for result, name, spec in zip(results, signature.output_names, signature.results, strict=True):
            if result.shape != spec.sized(**sizes):
                raise ModelError(
                    mismatch(
                        f"{name} of {type(model).__name__} for {sizes}",
                        list(spec.sized(**sizes)),
                        list(result.shape),
                        "Its shape may depend on time and batch alone.",
                    )
                )
        return results

    return call


@contextmanager
def _alone(dtype: torch.dtype) -> Iterator[None]:
    """Run on one thread, without gradients, with ``dtype`` for tensors that the module creates."""
    threads, default = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(dtype)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_default_dtype(default)
        torch.set_num_threads(threads)
