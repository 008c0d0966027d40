"""Calls without a time step or without a row: a file that dies of one takes its host with it."""

import numpy as np

from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, StateSpec, TensorSpec

CALLS = ((0, 2), (2, 0))  # time steps and rows


def fault(call: Call, signature: Signature, *, answers: bool) -> str:
    """Make empty calls; say what is wrong, or nothing.

    Args:
        call: a file.
        signature: what a call looks like.
        answers: whether it has to give empty outputs and the state as it was. Otherwise it may raise what it
            wants, and give what it wants: all that counts is that the process lives.
    """
    found = (_one(call, signature, time, batch) for time, batch in CALLS)
    faults = [reason for reason in found if reason]
    return faults[0] if faults and answers else ""


def _one(call: Call, signature: Signature, time: int, batch: int) -> str:
    where = f"{time} time steps and {batch} rows"
    sizes = dict.fromkeys(signature.free_sizes, 2) | {TIME: time, BATCH: batch}
    state = [np.ones(leaf.sized(**sizes), leaf.dtype) for leaf in signature.state]
    lengths = [np.zeros(batch, np.int64)] if signature.lengths else []
    inputs = [np.zeros(spec.sized(**sizes), spec.dtype) for spec in signature.inputs]
    try:
        results = call(*inputs, *state, *lengths)
    except Exception as error:  # whatever a runtime raises
        reason = " ".join(str(error).split())
        return f"{where}: expected empty outputs and the state as it was, got an error: {reason}"
    given = {leaf.name: value for leaf, value in zip(signature.state, state, strict=True)}
    for spec, result in zip(signature.results, results, strict=True):
        if not _is_right(spec, result, given, spec.sized(**sizes)):
            return f"{where}: {spec.name}: expected none, or the state as it was, got another, {result.shape}"
    return ""


def _is_right(spec: TensorSpec, result: Array, given: dict[str, Array], shape: tuple[int, ...]) -> bool:
    same = not isinstance(spec, StateSpec) or np.array_equal(result, given[spec.name])
    return result.shape == shape and bool(same)
