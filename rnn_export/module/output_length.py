"""How many outputs there are for a number of time steps, and the fewest time steps that a module takes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import RnnExportError
from rnn_export.module.calling import Reading
from rnn_export.signature.sizes import Length, fit

Inputs = tuple[Tensor, ...]
Run = Callable[[Inputs, Any], Reading]
Along = tuple[int | None, ...]  # an axis of each of several tensors, if it has one
MOST_LENGTHS = 33  # numbers of time steps that are tried


def longer(tensor: Tensor, axis: int | None, times: int = 1) -> Tensor:
    """Repeat the first entry of an axis, once or several times."""
    if axis is None:
        return tensor
    first = tensor.narrow(axis, 0, 1)
    return torch.cat([*[first] * times, tensor], axis)


def all_longer(tensors: Sequence[Tensor], axes: Along, times: int = 1) -> Inputs:
    """Repeat the first entry of an axis of each tensor."""
    return tuple(longer(tensor, axis, times) for tensor, axis in zip(tensors, axes, strict=True))


def narrowed(tensors: Sequence[Tensor], axes: Along, size: int) -> Inputs:
    """Give the first entries of an axis of each tensor, or all if there are no more."""
    return tuple(
        tensor if axis is None else tensor.narrow(axis, 0, min(size, tensor.shape[axis]))
        for tensor, axis in zip(tensors, axes, strict=True)
    )


def size_along(tensors: Sequence[Tensor], axes: Along) -> int:
    """Give the size that tensors have in common: 1, if none of them has such an axis."""
    sizes = (tensor.shape[axis] for tensor, axis in zip(tensors, axes, strict=True) if axis is not None)
    return next(sizes, 1)


def grown(one: Tensor, other: Tensor) -> list[int]:
    """Give the axes that are larger by one; none if anything else differs."""
    if one.dim() != other.dim():
        return []
    more = [axis for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b]
    return more if all(other.shape[axis] == one.shape[axis] + 1 for axis in more) else []


def is_read(run: Run, inputs: Inputs, state: Any, plain: Reading, time: Along, batch: Along) -> bool:
    """Whether anything comes of more entries at the end, and of one more row, as far as that can be tried.

    Of an axis of which only the first entries are read, such as one of several features, nothing does. A
    stride reads one more entry only if there are several.
    """
    with suppress(RnnExportError):
        if state is None and not _differ(plain.outputs, run(all_longer(inputs, batch), None).outputs):
            return False
        if _reads(run, inputs, state, plain, time, 1):
            return True
        with suppress(RnnExportError):
            return _reads(run, inputs, state, plain, time, MOST_LENGTHS)
        return False  # it takes one more, and not several
    return True


def _differ(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether there are other shapes."""
    return any(one.shape != other.shape for one, other in zip(some, others, strict=True))


def _reads(run: Run, inputs: Inputs, state: Any, plain: Reading, time: Along, more: int) -> bool:
    """Whether anything comes of so many more entries at the end."""
    last = [
        None if axis is None else tensor.narrow(axis, -1, 1)
        for tensor, axis in zip(inputs, time, strict=True)
    ]
    results = list[Reading]()
    for entries in (last, [None if entry is None else another(entry) for entry in last]):
        given = tuple(
            tensor if axis is None or entry is None else torch.cat([tensor, *[entry] * more], axis)
            for tensor, axis, entry in zip(inputs, time, entries, strict=True)
        )
        results.append(run(given, state))
    one, other = ([*result.outputs, *result.state] for result in results)
    longer = _differ(plain.outputs, results[0].outputs)
    return longer or not all(map(torch.equal, one, other))


def another(entry: Tensor) -> Tensor:
    """Give another entry; ids are those beside it, which are known to be such."""
    if entry.is_floating_point() or entry.is_complex():
        return entry + 1
    return ~entry if entry.dtype == torch.bool else entry.roll(1)


def output_lengths(
    run: Run, inputs: Inputs, state: Any, plain: Reading, time: Along
) -> list[tuple[list[int], Length | None]]:
    """Find the axes of each output that grow with time, and how long they are, if that is known."""
    steps = size_along(inputs, time)
    once = run(all_longer(inputs, time), state).outputs
    found: list[tuple[list[int], Length | None] | None] = []
    for output, larger in zip(plain.outputs, once, strict=True):
        more = grown(output, larger)
        as_long = bool(more) and all(output.shape[axis] == steps for axis in more)
        found.append((more, Length()) if as_long else None)
    if None not in found:
        return [each for each in found if each]
    every = {steps: plain.outputs}
    for extra in range(1, MOST_LENGTHS):
        every[steps + extra] = run(all_longer(inputs, time, extra), state).outputs
    return [
        each or _fitted({number: tuple(outputs[place].shape) for number, outputs in every.items()})
        for place, each in enumerate(found)
    ]


def _fitted(shapes: dict[int, tuple[int, ...]]) -> tuple[list[int], Length | None]:
    """Find the axes of an output that change with the number of time steps, and how."""
    ranks = {len(shape) for shape in shapes.values()}
    axes = [axis for axis in range(min(ranks)) if len({shape[axis] for shape in shapes.values()}) > 1]
    if len(ranks) > 1 or len(axes) > 1:
        return axes, None
    if not axes:
        return [], Length()
    length = fit({number: shape[axes[0]] for number, shape in shapes.items()})
    return axes, length if length is not None and length.by < MOST_LENGTHS else None


def fewest(run: Callable[[Inputs], Reading], shortened: Callable[[int], Inputs], most: int) -> int:
    """Find the fewest time steps that a module takes: 1, unless it fails on that.

    Args:
        run: calls the module, with its state if it has one.
        shortened: gives the inputs of so many time steps.
        most: how many the example has.
    """
    for steps in range(1, most):
        try:
            run(shortened(steps))
        except RnnExportError:
            continue
        return steps
    return most
