"""The user's own module in eager PyTorch, called as the files of its bundle are."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rnn_export.errors import InputError, ModelError, class_name, mismatch
from rnn_export.module.eager import prepare
from rnn_export.module.inspection import inspect_export
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array


def eager_call(model: nn.Module, args: Any, kwargs: Mapping[str, Any], signature: Signature) -> Call:
    """Give a call of a module that takes and gives what the files do, in PyTorch's own tensors inside.

    Raises:
        InputError: the call of the module is not that of the bundle.
        ModelError: the module cannot be exported as it stands.
    """
    subject = _as_exported(model, args, kwargs, signature)
    module = prepare(subject, getattr(torch, signature.dtype))

    def call(*arguments: Array) -> list[Array]:
        with torch.no_grad():
            return [result.numpy() for result in module(*map(_tensor, arguments))]

    return call


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _as_exported(model: nn.Module, args: Any, kwargs: Mapping[str, Any], signature: Signature) -> Subject:
    """Inspect a module as the export did, of one time step or of sequences."""
    expected, failure = signature.call, None
    for step in (False, True):
        try:
            subject = inspect_export(model, args, kwargs=kwargs, step=step, lengths=signature.lengths)
        except (InputError, ModelError) as error:
            failure = failure or error
            continue
        if subject.signature.call == expected:
            return subject
        got, remedy = subject.signature.call, "Name the module that was exported."
        failure = failure or InputError(mismatch(f"the call of {class_name(model)}", expected, got, remedy))
    assert failure is not None
    raise failure
