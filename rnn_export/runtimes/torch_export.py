"""An exported program, as ``torch.export.load`` runs it: the saved archive alone."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram, load

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError
from rnn_export.exclusive import without_warnings
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array


def start(path: Path, signature: Signature, read: Read = Path.read_bytes) -> Call:
    """Load a ``.pt2`` file. It holds a program: load what you trust.

    Raises:
        BundleError: PyTorch refuses it.
    """
    return caller(program(path, read).module(), signature)


def program(path: Path, read: Read = Path.read_bytes) -> ExportedProgram:
    """Read a ``.pt2`` file, which runs nothing of it where :meth:`Bundle.open` has looked at it.

    Raises:
        BundleError: PyTorch refuses it.
    """
    content = io.BytesIO(read(path))  # opened only once its hash has matched
    with without_warnings():
        try:
            return load(content)
        except Exception as error:  # upstream raises what it wants
            reason = str(error).strip().partition("\n")[0]
            raise BundleError(f"{path} cannot be loaded in PyTorch: {reason}. Export it again.") from error


def caller(module: Callable[..., Sequence[torch.Tensor]], signature: Signature) -> Call:
    """Run a function of tensors that takes and gives them in the order of the files."""

    def call(*arguments: Array) -> list[Array]:
        named = dict(zip(signature.input_names, map(_tensor, arguments), strict=True))
        with torch.inference_mode():
            results = module(*(named[name] for name in signature.file_inputs))
        given = dict(zip(signature.file_outputs, results, strict=True))
        return [given[name].numpy() for name in signature.output_names]

    return call


def _tensor(array: Array) -> torch.Tensor:
    """Copy an array: a module may change its arguments."""
    return torch.from_numpy(np.array(array, order="C"))
