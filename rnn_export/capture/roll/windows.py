"""Operators that look back in time, in a trace of whole sequences: convolutions, pooling, padding, shifts.

One that looks back over n time steps keeps the last n of what it reads, zeros at first::

    p = pad(x, (2, 0))          2 + T entries        p_t = cat([kept, x_t])        3 entries
    y = conv1d(p, w)            T entries      =>    y_t = conv1d(p_t, w)          1 entry
                                                     new_kept = p_t[1:]            2 entries
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

aten = torch.ops.aten
CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
PADDING = 3  # its place behind the input of a convolution
# Over how many axes each goes, and the place of its dilation if it has one. The window's size is its second
# argument, then come the stride and the padding.
POOLS: dict[Any, tuple[int, int | None]] = {
    aten.avg_pool1d.default: (1, None),
    aten.avg_pool2d.default: (2, None),
    aten.max_pool1d.default: (1, 4),
    aten.max_pool2d.default: (2, 4),
}
# Operators with a state of their own: ``(sequence, states, weights, ...)`` to a sequence and the new states.
RECURRENT = (aten.rnn_tanh.input, aten.rnn_relu.input, aten.gru.input, aten.lstm.input)
BOTH_WAYS, ROWS_FIRST = 7, 8  # the places of their last arguments
SIZED = (aten.view.default, aten.reshape.default, aten.expand.default, aten._unsafe_view.default)


class NotRolledError(Exception):
    """The trace is not that of a loop over time steps that are alike."""


@dataclass(frozen=True)
class Extent:
    """How many entries a sequence has beside those of the time steps: T + ``before`` + ``after``.

    At time step t those from t to t + ``before`` are there, its window, and all in front of them.
    """

    before: int = 0
    after: int = 0

    @property
    def more(self) -> int:
        """The number of entries that are more than the time steps."""
        return self.before + self.after

    def longer(self, before: int, after: int) -> "Extent":
        """Give that of the sequence with more entries on its sides, or with fewer."""
        cut = min(0, self.after + after)  # beyond what is not there yet: entries of the window
        return Extent(self.before + before + cut, max(0, self.after + after))


PLAIN = Extent()


@dataclass(frozen=True)
class Window:
    """What an operator does along the time: it adds ``kept`` zeros in front, and looks back over ``reach``.

    ``after`` zeros are added behind, or so many entries left out, if it is negative, ``dropped`` in front.
    """

    axis: int
    kept: int = 0
    after: int = 0
    dropped: int = 0
    reach: int = 0

    def extent(self, given: Extent) -> Extent:
        """Give the extent of the result.

        Raises:
            NotRolledError: it cannot be known at each time step.
        """
        if self.kept and (given.before > 0 or given.after):
            raise NotRolledError("what is padded has entries of other time steps")
        return given.longer(self.kept - self.reach - self.dropped, self.after)


def window(node: Node, steps: int, extents: Mapping[Node, Extent]) -> Window | None:
    """Say how an operator looks back; None where it works on each time step by itself.

    Args:
        node: of the trace; what it reads knows its shape.
        steps: the time steps of the trace.
        extents: those of the sequences.

    Raises:
        NotRolledError: it looks ahead, or does not go step by step.
    """
    if node.target is aten.cat.default:
        return _joined(node, steps, extents)
    source = node.args[0] if node.args else None
    look = LOOKS.get(node.target)
    if look is None or not isinstance(source, Node) or source not in extents:
        return None
    return look(node, source, steps + extents[source].more)


def states(node: Node, steps: int) -> list[Node]:
    """Give the states that a recurrent operator begins with.

    Raises:
        NotRolledError: it does not run forward over the time steps.
    """
    source: Any = node.args[0]
    if node.args[BOTH_WAYS] or source.meta["val"].shape[1 if node.args[ROWS_FIRST] else 0] != steps:
        raise NotRolledError(f"{node.name} does not run forward over the time steps")
    given: Any = node.args[1]
    return [*given] if isinstance(given, list | tuple) else [given]


def in_step(node: Node, found: Window) -> tuple[Any, ...]:
    """Give what an operator is given behind its window, which has the zeros of other time steps in it."""
    args = list(node.args[1:])
    if node.target in CONVOLUTIONS and len(args) > PADDING:
        padding = _each(args[PADDING], node, 2)
        padding[found.axis - 2] = 0
        args[PADDING] = padding
    if node.target is aten.pad.default:
        behind = 2 * (node.meta["val"].dim() - 1 - found.axis)
        pads = list(args[0])  # type: ignore[arg-type]
        return ([*pads[:behind], 0, 0, *pads[behind + 2 :]],)
    return tuple(args)


def sized(node: Node, size: int, window: int) -> tuple[Any, ...]:
    """Give the arguments of a node, those that name the size of a sequence with that of its window.

    What is spread over the time steps is no sequence, and names their number as well.
    """
    if node.target not in SIZED:
        return node.args
    sizes: Any = node.args[1]
    return (node.args[0], [window if each == size else each for each in sizes], *node.args[2:])


def _along(source: Node, size: int, axes: range) -> int | None:
    """Find the axis of so many entries.

    Raises:
        NotRolledError: there are several.
    """
    shape = source.meta["val"].shape
    found = [axis for axis in axes if isinstance(shape[axis], int) and shape[axis] == size]
    if len(found) > 1:
        raise NotRolledError(f"two axes of {source.name} have {size} entries")
    return found[0] if found else None


def _each(value: Any, node: Node, front: int) -> list[int]:
    """Give an argument for each of the axes behind those in front."""
    axes = node.args[0].meta["val"].dim() - front  # type: ignore[union-attr]
    values = [*value] if isinstance(value, list | tuple) else [value]
    return values * axes if len(values) == 1 else values


def _convolution(node: Node, source: Node, size: int) -> Window | None:
    axis = _along(source, size, range(2, source.meta["val"].dim()))
    if axis is None:
        return None
    stride, padding, dilation = (
        _each(argument(node, place, default), node, 2)[axis - 2]
        for place, default in ((3, 1), (4, 0), (5, 1))
    )
    entries = node.args[1].meta["val"].shape[axis]  # type: ignore[union-attr]
    return _slid(node, axis, stride, padding, dilation * (entries - 1))


def _pool(node: Node, source: Node, size: int) -> Window | None:
    axes, dilation_at = POOLS[node.target]
    front = source.meta["val"].dim() - axes
    axis = _along(source, size, range(front, front + axes))
    if axis is None:
        return None
    kernel = _each(node.args[1], node, front)[axis - front]
    stride = _each(argument(node, 2, None) or kernel, node, front)[axis - front]
    dilation = 1 if dilation_at is None else _each(argument(node, dilation_at, 1), node, front)[axis - front]
    if _each(argument(node, 3, 0), node, front)[axis - front]:
        raise NotRolledError(f"{node.name} pads with what are no numbers")
    return _slid(node, axis, stride, 0, dilation * (kernel - 1))


def _slid(node: Node, axis: int, stride: int, padding: int, reach: int) -> Window | None:
    """Give a window that slides along the time."""
    if stride != 1:
        raise NotRolledError(f"{node.name} leaves out time steps")
    return Window(axis, padding, padding, 0, reach) if reach or padding else None


def _padding(node: Node, source: Node, size: int) -> Window | None:
    pads, mode = list(node.args[1]), argument(node, 2, "constant")  # type: ignore[arg-type]
    dims = source.meta["val"].dim()
    axis = _along(source, size, range(dims - len(pads) // 2, dims))
    if axis is None:
        return None
    front, behind = pads[2 * (dims - 1 - axis) : 2 * (dims - axis)]
    if (front, behind) == (0, 0):
        return None
    if mode != "constant" or argument(node, 3, None):
        raise NotRolledError(f"{node.name} pads with other numbers than zeros")
    return Window(axis, max(front, 0), behind, max(-front, 0))


def _slice(node: Node, source: Node, size: int) -> Window | None:
    axis = int(argument(node, 1, 0)) % source.meta["val"].dim()
    if _along(source, size, range(axis, axis + 1)) is None:
        return None
    start, end = argument(node, 2, None) or 0, min(argument(node, 3, None) or size, size)
    start, end = (value + size * (value < 0) for value in (start, end))
    if argument(node, 4, 1) != 1:
        raise NotRolledError(f"{node.name} leaves out time steps")
    return Window(axis, 0, end - size, start) if start or end != size else None


def _joined(node: Node, steps: int, extents: Mapping[Node, Extent]) -> Window | None:
    """Say of what is joined whether it is zeros in front of a sequence: these are padding."""
    parts: Any = node.args[0]
    *front, last = parts
    axis = int(argument(node, 1, 0)) % last.meta["val"].dim()
    size = steps + extents[last].more if last in extents else -1
    if _along(last, size, range(axis, axis + 1)) is None:
        return None
    if any(part in extents for part in front):
        raise NotRolledError(f"{node.name} joins sequences along the time")
    return Window(axis, sum(part.meta["val"].shape[axis] for part in front))


def argument(node: Node, place: int, default: Any) -> Any:
    """Give an argument, or what it is where it is left out."""
    return node.args[place] if len(node.args) > place else default


# What an operator does along the axis of so many entries of what it reads.
LOOKS: dict[Any, Callable[[Node, Node, int], Window | None]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    **dict.fromkeys(POOLS, _pool),
    aten.pad.default: _padding,
    aten.slice.Tensor: _slice,
}
