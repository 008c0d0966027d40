"""Inputs that count the time steps of each row, as ``pack_padded_sequence`` takes them: found by trying."""

from typing import Any

import torch

from rnn_export.errors import RnnExportError
from rnn_export.module.output_length import Along, Inputs, Run, narrowed, size_along
from rnn_export.signature.tree import map_leaves, tree_leaves


def find_counts(run: Run, inputs: Inputs, state: Any, time: Along) -> tuple[bool, ...]:
    """Say which inputs count time steps: of fewer than they say the module fails, unless they are as few."""
    return tuple(
        _may_count(inputs, place) and _counts(run, inputs, state, time, place) for place in range(len(inputs))
    )


def a_state_counts(run: Run, inputs: Inputs, state: Any, time: Along) -> bool:
    """Whether a tensor that was taken for a state counts time steps, and comes back as it is."""
    leaves = tree_leaves(state)
    for place, leaf in enumerate(leaves):
        fewer = int(leaf.max()) - 1 if _are_counts(leaf) else 0
        if not 0 < fewer < size_along(inputs, time):
            continue
        few = narrowed(inputs, time, fewer)
        own = clamped(tuple(leaves), tuple(number == place for number in range(len(leaves))), fewer)
        if not _runs(run, few, state) and _runs(run, few, _with_leaves(state, own)):
            return True
    return False


def _with_leaves(state: Any, leaves: Inputs) -> Any:
    left = iter(leaves)
    return map_leaves(state, lambda _: next(left))


def _may_count(inputs: Inputs, place: int) -> bool:
    return len(inputs) > 1 and _are_counts(inputs[place])


def _are_counts(tensor: torch.Tensor) -> bool:
    return tensor.dim() == 1 and tensor.dtype == torch.int64 and bool((tensor > 0).all())


def _counts(run: Run, inputs: Inputs, state: Any, time: Along, place: int) -> bool:
    fewer = int(inputs[place].max()) - 1
    if not 0 < fewer < size_along(inputs, time):
        return False
    few = narrowed(inputs, time, fewer)
    return not _runs(run, few, state) and _runs(
        run, clamped(few, tuple(number == place for number in range(len(inputs))), fewer), state
    )


def _runs(run: Run, inputs: Inputs, state: Any) -> bool:
    try:
        run(inputs, state)
    except RnnExportError:
        return False
    return True


def clamped(inputs: Inputs, counts: tuple[bool, ...], steps: int) -> Inputs:
    """Let inputs count so many time steps at the most."""
    return tuple(
        tensor.clamp(max=steps) if count else tensor for tensor, count in zip(inputs, counts, strict=True)
    )
