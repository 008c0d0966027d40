"""TorchScript, as a C++ service loads it: the saved archive alone."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rnn_export.runtimes import Call
from rnn_export.signature import Array, Signature, tree_build, tree_leaves


def start(path: Path, signature: Signature) -> Call:
    """Load a ``.pt`` file. It holds code: load what you trust."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]

    def call(inputs: Array, state: Sequence[Array]) -> list[Array]:
        leaves = {spec.name: _tensor(leaf) for spec, leaf in zip(signature.state, state, strict=True)}
        with torch.inference_mode():
            outputs, new_state = module(_tensor(inputs), tree_build(signature.tree, leaves.__getitem__))
        return [tensor.numpy() for tensor in (outputs, *tree_leaves(new_state))]

    return call


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))
