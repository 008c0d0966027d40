"""How many outputs there are for a number of time steps, and the fewest time steps that a module takes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import RnnExportError
from rnn_export.module.calling import Reading
from rnn_export.signature.sizes import Length, fit

Run = Callable[[Tensor, Any], Reading]
MOST_LENGTHS = 33  # numbers of time steps that are tried


def longer(tensor: Tensor, axis: int) -> Tensor:
    """Repeat the first entry of an axis."""
    return torch.cat([tensor.narrow(axis, 0, 1), tensor], axis)


def grown(one: Tensor, other: Tensor) -> list[int]:
    """Give the axes that are larger by one; none if anything else differs."""
    if one.dim() != other.dim():
        return []
    more = [axis for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b]
    return more if all(other.shape[axis] == one.shape[axis] + 1 for axis in more) else []


def output_length(
    run: Run, inputs: Tensor, state: Any, plain: Reading, time: int
) -> tuple[list[int], Length | None]:
    """Find the axes of the outputs that grow with time, and how long they are, if that is known."""
    more = grown(plain.outputs, run(longer(inputs, time), state).outputs)
    steps = inputs.shape[time]
    if more and all(plain.outputs.shape[axis] == steps for axis in more):
        return more, Length()
    shapes = {steps: plain.outputs.shape}
    for extra in range(1, MOST_LENGTHS):
        shapes[steps + extra] = run(_repeated(inputs, time, extra), state).outputs.shape
    ranks = {len(shape) for shape in shapes.values()}
    axes = [axis for axis in range(min(ranks)) if len({shape[axis] for shape in shapes.values()}) > 1]
    if len(ranks) > 1 or len(axes) > 1:
        return axes, None
    if not axes:
        return [], Length()
    length = fit({number: shape[axes[0]] for number, shape in shapes.items()})
    return axes, length if length is not None and length.by < MOST_LENGTHS else None


def _repeated(inputs: Tensor, axis: int, times: int) -> Tensor:
    """Repeat the first entry of an axis several times."""
    first = inputs.narrow(axis, 0, 1)
    return torch.cat([*[first] * times, inputs], axis)


def fewest(run: Run, inputs: Tensor, time: int) -> int:
    """Find the fewest time steps that a module takes which is no fold: 1, unless it fails on that."""
    for steps in range(1, inputs.shape[time]):
        try:
            run(inputs.narrow(time, 0, steps), None)
        except RnnExportError:
            continue
        return steps
    return int(inputs.shape[time])
