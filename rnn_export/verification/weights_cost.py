"""What smaller weights cost: the outputs of eager PyTorch with them and without them, on the example.

The files are compared with a module whose weights are rounded already. How far that is from the user's own
module is measured here: the root mean square of the difference at some time steps, as rounding may add up in
the state; how often the largest output is the same one; and for a model of tokens the perplexity of the
example.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from rnn_export.module import eager
from rnn_export.module.rounded_weights import RoundedWeights
from rnn_export.module.subject import Subject
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, TensorSpec

LONGEST = 1000  # time steps of the example
MOST_ROWS = 32
STEPS = (1, 10, 100, 1000)  # at which the error is told, and at the last one


def weights_facts(subject: Subject, weights: RoundedWeights, kept: Sequence[str]) -> dict[str, Any]:
    """Say for the manifest how the weights are rounded, what stays in float32, and what rounding costs."""
    if not weights.matrices:
        return {}
    dense = replace(subject, signature=replace(subject.signature, lengths=False))
    inputs = _some(dense)
    sizes = dense.signature.sizes(inputs)
    begun = dense.signature.initial_state(sizes[BATCH])
    runs = (eager.start(each, torch.float32) for each in (weights.undone(dense), dense))
    before, after = (run(*inputs, *begun) for run in runs)
    outputs = dense.signature.outputs
    pairs = list(zip(outputs, before, after, strict=False))
    named = [f"{name}: no product reads it as it is" for name in weights.kept]
    return {
        "format": weights.kind,
        "matrices": list(weights.matrices),
        "float32": [*named, *kept],
        "example": {"time": sizes.get(TIME, 1), "batch": sizes[BATCH]},
        "outputs": [_cost(*pair) for pair in pairs if pair[1].dtype.kind == "f"],
        "perplexity": next(iter(_perplexities(dense, inputs, pairs)), []),
    }


def _some(subject: Subject) -> list[Array]:
    """Give the first time steps and rows of the example."""
    signature = subject.signature
    arrays = [tensor.numpy() for tensor in subject.sample]
    if signature.timed and not any(spec.counts_steps for spec in signature.inputs):
        arrays = signature.cut(arrays, slice(0, LONGEST))
    return signature.rows(arrays, range(min(MOST_ROWS, signature.sizes(arrays)[BATCH])))


def _cost(spec: TensorSpec, before: Array, after: Array) -> dict[str, Any]:
    """Compare an output with what it was; only where both are finite."""
    both = np.isfinite(before) & np.isfinite(after)
    error = np.where(both, after - np.where(both, before, 0), 0).astype(np.float64)
    size = np.sqrt(np.mean(np.where(both, before, 0).astype(np.float64) ** 2))
    timed = error if spec.time_axis is None else np.moveaxis(error, spec.time_axis, 0)
    steps = [1]
    if spec.time_axis is not None:
        last = len(timed)
        steps = [*(step for step in STEPS if step < last), last]
    else:
        timed = timed[None]
    choice = before.ndim > 1 and before.shape[-1] > 1 and isinstance(spec.shape[-1], int)
    return {
        "name": spec.name,
        "size": float(size),
        "steps": steps,
        "errors": [float(np.sqrt(np.mean(timed[step - 1] ** 2))) for step in steps],
        "largest": float(np.abs(error).max(initial=0)),
        "argmax": float(np.mean(before.argmax(-1) == after.argmax(-1))) if choice else None,
    }


def _perplexities(
    subject: Subject, inputs: Sequence[Array], pairs: Sequence[tuple[TensorSpec, Array, Array]]
) -> list[list[float]]:
    """Give the perplexities of the example before and after, where outputs are logits of its next token."""
    found = []
    for spec, tokens in zip(subject.signature.inputs, inputs, strict=True):
        for output, *both in pairs:
            same = spec.vocabulary is not None and output.shape[-1] == spec.vocabulary
            if same and None not in (spec.time_axis, output.time_axis) and len(output.shape) == 3:
                rows = np.moveaxis(tokens, spec.time_axis or 0, 0)
                every = [np.moveaxis(logits, output.time_axis or 0, 0) for logits in both]
                if len(rows) > 1 and every[0].shape[:2] == rows.shape:
                    found.append([_perplexity(logits[:-1], rows[1:]) for logits in every])
    return found


def _perplexity(logits: Array, tokens: Array) -> float:
    """Give ``exp`` of the mean negative logarithm of the probability of each token."""
    wide = torch.from_numpy(logits.astype(np.float64)).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(wide, torch.from_numpy(tokens).flatten())
    return float(loss.exp())
