"""Sizes of contexts that are free beside time and batch: the number of places that a decoder attends to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import RnnExportError
from rnn_export.module.axes import Axes
from rnn_export.module.calling import Reading, agree
from rnn_export.module.output_length import (
    Along,
    Inputs,
    Run,
    all_longer,
    another,
    grown,
    longer,
    narrowed,
    size_along,
)
from rnn_export.signature.tree import tree_leaves


@dataclass(frozen=True)
class FreeSize:
    """A size that may be any: the axes of the inputs and of the outputs that have it."""

    inputs: Along
    outputs: Along


def free_sizes(run: Run, inputs: Inputs, state: Any, axes: Axes) -> tuple[list[FreeSize], list[str]]:
    """Find the sizes of contexts that may grow: in all contexts that have the same, or else in one alone.

    The results have to follow: an axis of an output has this size, or nothing of it changes. An axis of which
    nothing but one end is read has no size that is free. Nor has one that may not be 1; what is to be said of
    it is given as well.
    """
    groups, found, remarks = [*_groups(inputs, axes)], list[FreeSize](), list[str]()
    if not groups:
        return found, remarks
    plain = run(inputs, state)
    for group in groups:
        for candidate in (group, *_apart(group)):
            taken = [
                (place, axis) for size in found for place, axis in enumerate(size.inputs) if axis is not None
            ]
            if any(axis is not None and (place, axis) in taken for place, axis in enumerate(candidate)):
                continue
            follow = _follow(run, inputs, state, plain, candidate)
            if follow is None or not (
                any(axis is not None for axis in follow) or _is_read(run, inputs, state, candidate)
            ):
                continue
            fewest = _fewest(run, inputs, state, candidate)
            if fewest == 1:
                found.append(FreeSize(candidate, follow))
            else:
                size = size_along(inputs, candidate)
                remarks.append(
                    f"The files are for contexts of {size} entries, as the example has them: it takes "
                    f"any number from {fewest} on, and files with a free size take a single one, too."
                )
    return found, remarks


def _fewest(run: Run, inputs: Inputs, state: Any, axes: Along) -> int:
    """Give the fewest entries that a module takes: a kernel over a context asks for several."""
    most = size_along(inputs, axes)
    for size in range(1, most):
        try:
            run(narrowed(inputs, axes, size), state)
        except RnnExportError:
            continue
        return size
    return most


def a_state_grows(run: Run, inputs: Inputs, state: Any, axes: Axes) -> bool:
    """Whether a tensor that was taken for a state may grow with time, and comes back so: it is a sequence.

    It alone, or with all that is as long: a loop over the time steps of one tensor may read others.
    """
    leaves, steps = tree_leaves(state), size_along(inputs, axes.time)
    more_steps = all_longer(inputs, axes.time)
    every = [longer(each, _as_long(each, steps, axis)) for each, axis in zip(inputs, axes.batch, strict=True)]
    grows = [_as_long(leaf, steps, batch) for leaf, batch in zip(leaves, axes.state, strict=True)]
    for place, (leaf, batch) in enumerate(zip(leaves, axes.state, strict=True)):
        for axis in (axis for axis, size in enumerate(leaf.shape) if size == steps and axis != batch):
            others = [longer(each, axis) if at == place else each for at, each in enumerate(leaves)]
            together = all_longer(leaves, tuple(grows))
            for given, states in ((more_steps, others), (tuple(every), together)):
                try:
                    new = run(given, tuple(states)).state
                except RnnExportError:
                    continue
                if new and grown(leaf, new[place]) == [axis]:
                    return True
    return False


def _as_long(tensor: Tensor, steps: int, batch: int | None) -> int | None:
    """Give the first axis that is as long as the sequences, and not the batch."""
    return next((axis for axis, size in enumerate(tensor.shape) if size == steps and axis != batch), None)


def _groups(inputs: Inputs, axes: Axes) -> Iterator[Along]:
    """List the axes of contexts that are not the batch, those of the same size together."""
    contexts = [place for place, time in enumerate(axes.time) if time is None]
    places = {
        place: [axis for axis in range(inputs[place].dim()) if axis != axes.batch[place]]
        for place in contexts
    }
    sizes = dict.fromkeys(inputs[place].shape[axis] for place in contexts for axis in places[place])
    for size in sizes:
        yield tuple(
            next((axis for axis in places.get(place, ()) if tensor.shape[axis] == size), None)
            for place, tensor in enumerate(inputs)
        )


def _apart(group: Along) -> list[Along]:
    """List the axes of a group one by one, if there are several."""
    several = [place for place, axis in enumerate(group) if axis is not None]
    if len(several) < 2:
        return []
    return [tuple(axis if at == place else None for at, axis in enumerate(group)) for place in several]


def _follow(run: Run, inputs: Inputs, state: Any, plain: Reading, axes: Along) -> Along | None:
    """Give the axes of the outputs that grow with some of the inputs; ``None`` if these may not grow."""
    try:
        more, _ = (run(all_longer(inputs, axes, times), state) for times in (1, 2))
    except RnnExportError:  # of one more alone: a single entry is broadcast, and two are as many features
        return None
    if [leaf.shape for leaf in more.state] != [leaf.shape for leaf in plain.state]:
        return None
    follow = list[int | None]()
    size = size_along(inputs, axes)
    for one, other in zip(plain.outputs, more.outputs, strict=True):
        if one.shape == other.shape:
            follow.append(None)
            continue
        axes_of_it = grown(one, other)
        if len(axes_of_it) != 1 or one.shape[axes_of_it[0]] != size:
            return None
        follow.append(axes_of_it[0])
    return tuple(follow)


def _is_read(run: Run, inputs: Inputs, state: Any, axes: Along) -> bool:
    """Whether more than one end of these axes is read: of ``categories[..., 0]`` the others are no size."""
    more = all_longer(inputs, axes)
    for kept in (0, -1):
        pairs = zip(more, axes, strict=True)
        others = tuple(each if axis is None else _others(each, axis, kept) for each, axis in pairs)
        if all(map(torch.equal, others, more)):
            continue
        try:
            one, two = run(more, state), run(others, state)
        except RnnExportError:
            continue
        if agree(two.tensors, one.tensors):
            return False
    return True


def _others(tensor: Tensor, axis: int, kept: int) -> Tensor:
    """Give other entries along an axis, but for one end of it; ids are those of elsewhere."""
    ids = tensor.dtype == torch.int64
    changed = tensor.flatten().flip(0).reshape(tensor.shape) if ids else another(tensor)
    changed.select(axis, kept).copy_(tensor.select(axis, kept))
    return changed


def named_sizes(sizes: Sequence[FreeSize], names: Sequence[str]) -> list[tuple[str, FreeSize]]:
    """Call a size after the first input that has it."""
    found = list[tuple[str, FreeSize]]()
    for size in sizes:
        first = next(name for name, axis in zip(names, size.inputs, strict=True) if axis is not None)
        number = sum(name.startswith(f"{first}_length") for name, _ in found)
        found.append((f"{first}_length{f'_{number}' if number else ''}", size))
    return found
