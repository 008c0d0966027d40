"""TorchScript, as a C++ service loads it: the saved archive alone."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError, mismatch
from rnn_export.exclusive import without_warnings
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import LENGTHS, Array
from rnn_export.signature.tree import tree_build, tree_leaves


def start(path: Path, signature: Signature, read: Read = Path.read_bytes) -> Call:
    """Load a ``.pt`` file. It holds code: load what you trust.

    Raises:
        BundleError: PyTorch refuses it; the call raises it as well, with the line that fails.
    """
    content = io.BytesIO(read(path))  # opened only once its hash has matched
    with without_warnings(DeprecationWarning):
        try:
            module = torch.jit.load(content, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise BundleError(f"{path} cannot be loaded in PyTorch: {reason}. Export it again.") from error

    def call(*arguments: Array) -> list[Array]:
        named = dict(zip(signature.input_names, map(_tensor, arguments), strict=True))
        inputs = [named.pop(spec.name) for spec in signature.inputs]
        lengths = [named.pop(LENGTHS.name)] if signature.lengths else []
        state = [tree_build(signature.tree, named.__getitem__)] if signature.state else []
        try:
            with torch.inference_mode():
                result = module(*inputs, *state, *lengths)
        except RuntimeError as error:
            where, reason = _failing(str(error))
            remedy = "Check the bundle with rnn_export.verify()."
            raise BundleError(mismatch(f"{path.name}{where}", "a result", reason, remedy)) from error
        return [tensor.numpy() for tensor in tree_leaves(result)]

    return call


def _failing(message: str) -> tuple[str, str]:
    """Give the line of the module that TorchScript marks, if it marks one, and why it fails."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["no reason was given"]
    marked = [before for before, line in pairwise(lines) if line.endswith("<--- HERE")]
    return (f", {marked[-1]!r}", lines[-1]) if marked else ("", lines[0])


def _tensor(array: Array) -> torch.Tensor:
    """Copy an array: a module may change its arguments."""
    return torch.from_numpy(np.array(array, order="C"))
