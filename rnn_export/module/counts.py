"""Inputs that count the time steps of each row, as ``pack_padded_sequence`` takes them: found by trying."""

from typing import Any

import torch

from rnn_export.errors import RnnExportError
from rnn_export.module.output_length import Along, Inputs, Run, narrowed, size_along


def find_counts(run: Run, inputs: Inputs, state: Any, time: Along) -> tuple[bool, ...]:
    """Say which inputs count time steps: of fewer than they say the module fails, unless they are as few."""
    return tuple(
        _may_count(inputs, place) and _counts(run, inputs, state, time, place) for place in range(len(inputs))
    )


def _may_count(inputs: Inputs, place: int) -> bool:
    tensor = inputs[place]
    return len(inputs) > 1 and tensor.dim() == 1 and tensor.dtype == torch.int64 and bool((tensor > 0).all())


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
