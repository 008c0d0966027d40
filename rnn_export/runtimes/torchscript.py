"""TorchScript, as a C++ service loads it: the saved archive alone."""

import warnings
from pathlib import Path

import numpy as np
import torch

from rnn_export.runtimes import Call
from rnn_export.signature import LENGTHS, Array, Signature, tree_build, tree_leaves


def start(path: Path, signature: Signature) -> Call:
    """Load a ``.pt`` file. It holds code: load what you trust."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def call(*arguments: Array) -> list[Array]:
        named = dict(zip(signature.input_names, map(_tensor, arguments), strict=True))
        inputs = named.pop(signature.inputs.name)
        lengths = [named.pop(LENGTHS.name)] if signature.lengths else []
        state = [tree_build(signature.tree, named.__getitem__)] if signature.state else []
        with torch.inference_mode():
            result = module(inputs, *state, *lengths)
        return [tensor.numpy() for tensor in tree_leaves(result)]

    return call


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
