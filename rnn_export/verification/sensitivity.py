"""Does every weight matter? A parameter that no golden vector notices could be wrong in a file."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.bundle.golden import STEP, Case
from rnn_export.module import eager
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Ragged, original_of
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array
from rnn_export.verification import tolerance

CHANGE = 0.01  # relative: what is to be noticed
MOST = 32  # time steps of the runs that are looked at; single steps come first


def unnoticed_weights(subject: Subject, cases: Sequence[Case], allowed: dict[str, list[Array]]) -> list[str]:
    """Name the parameters and buffers whose change by 1 % takes no golden value out of its tolerance.

    One that is what the state begins with is none: that is compared for itself.

    Args:
        subject: the module.
        cases: the golden vectors.
        allowed: what each result of each case may be off by.
    """
    model = eager.prepare(subject, torch.float64, own=True)
    call = eager.caller(model, subject, torch.float64)
    flat = model.flat if isinstance(model, Ragged) else model
    own = original_of(flat.get_submodule("model"))  # what stands around it may hold constants
    looked_at = sorted((case for case in cases if case.time <= MOST), key=lambda case: case.kind != STEP)
    return [
        name
        for name, weight in zip(_weights(subject.original), _weights(own).values(), strict=True)
        if weight.is_floating_point() and weight.numel() and bool(weight.isfinite().all())
        if not _is_start(weight, subject.signature)
        if not any(
            _is_noticed(call, case, allowed[case.name], subject) for case in _changed(weight, looked_at)
        )
    ]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Give what a checkpoint of the module holds, by name; what several modules share comes once."""
    weights = {
        name: weight for name, weight in model.state_dict(keep_vars=True).items() if weight is not None
    }
    names = {id(weight): name for name, weight in reversed(weights.items())}
    return {name: weight for name, weight in weights.items() if names[id(weight)] == name}


def _is_start(weight: Tensor, signature: Signature) -> bool:
    """Whether a weight holds the numbers that a tensor of the state begins with."""
    starts = [np.asarray(leaf.initial) for leaf in signature.state]
    own = weight.numpy().ravel()
    return any(start.size == own.size > 1 and np.array_equal(start.ravel(), own) for start in starts)


def _changed(weight: Tensor, cases: Sequence[Case]) -> Iterator[Case]:
    """Give the cases while a weight is changed, and put it back."""
    before = weight.clone()
    with torch.no_grad():
        weight.copy_(before * (1 + CHANGE) if before.any() else before + CHANGE)
    try:
        yield from cases
    finally:
        with torch.no_grad():
            weight.copy_(before)


def _is_noticed(call: Call, case: Case, allowed: Sequence[Array], subject: Subject) -> bool:
    results = case.kept(call(*case.arguments))
    return any(
        bool((tolerance.distance(got, own, want) > most).any())
        for got, own, want, most in zip(
            results, case.results(subject.signature.dtype), case.float64, allowed, strict=True
        )
    )
