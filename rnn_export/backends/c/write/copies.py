"""Numbers that are put side by side out of many places: loops where these are evenly spaced, else a table.

A transposed matrix of 3 rows and 4 columns, ``y = x^T``::

    for (int j = 0; j < 4; j++)
        for (int k = 0; k < 3; k++) to[j * 3 + k] = from[j + k * 4];
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rnn_export.backends.c.trace.graph import Constant, Gather, Vector, View
from rnn_export.backends.c.write.context import Address, Context, times
from rnn_export.signature.tensors import Array

COUNTERS = "mnjk"  # of loops, from the outermost one on


@dataclass(frozen=True)
class Loop:
    """How often it runs, and how far the target and the source move on each time."""

    count: int
    to: int
    by: int


def loops(to: Array, by: Array) -> list[Loop] | None:
    """Find the loops that go through some pairs of places, the innermost one first.

    >>> loops(np.arange(6), np.array([0, 3, 1, 4, 2, 5]))
    [Loop(count=2, to=1, by=3), Loop(count=3, to=2, by=1)]
    """
    pairs, found = np.stack([to, by], 1), list[Loop]()
    while len(pairs) > 1:
        steps = np.diff(pairs, axis=0)
        other = np.flatnonzero((steps != steps[0]).any(1))
        count = int(other[0]) + 1 if other.size else len(pairs)
        if len(pairs) % count or len(found) == len(COUNTERS):
            return None
        blocks = pairs.reshape(-1, count, 2)
        if (blocks - blocks[:, :1] != blocks[0] - blocks[0, 0]).any():
            return None
        found.append(Loop(count, *map(int, steps[0])))
        pairs = blocks[:, 0]
    return found


def copies(context: Context, vector: Vector, operation: Gather, slot: str) -> Iterator[str]:
    """Write how the numbers of one row are put side by side, those of each source by itself."""
    constants = np.zeros(vector.size, _numpy(operation))
    found: dict[Vector, list[tuple[Array, Array]]] = {}
    at, given = 0, 0
    for operand in operation.operands:
        target = np.arange(at, at + operand.size)
        if isinstance(operand, View):
            places = operand.offset + np.arange(operand.size) * operand.step
            found.setdefault(operand.vector, []).append((target, places))
        else:
            constants[target], given = operand.values, given + operand.size
        at += operand.size
    to = context.all_of(vector, slot)
    if given:
        name = context.constant(Constant(constants), vector.dtype)
        yield f"memcpy({to}, {name}, {vector.size} * sizeof({vector.dtype}));"
    for source, pieces in found.items():
        targets, places = (np.concatenate(each) for each in zip(*pieces, strict=True))
        yield from _copied(context, to, context.all_of(source, slot), (targets, places), vector.dtype)


def _numpy(operation: Gather) -> np.dtype[np.generic]:
    """Give the type of the constants among the operands."""
    return next(
        (operand.values.dtype for operand in operation.operands if isinstance(operand, Constant)),
        np.dtype(np.float32),
    )


def _copied(
    context: Context, to: Address, source: Address, pairs: tuple[Array, Array], dtype: str
) -> Iterator[str]:
    targets, places = pairs
    nest = loops(targets, places)
    if nest is None:
        names = [context.weights.places(each) for each in pairs]
        yield f"for (int j = 0; j < {targets.size}; j++)"
        yield f"    {to.plus(f'{names[0]}[j]').item()} = {source.plus(f'{names[1]}[j]').item()};"
        return
    to, source = to.plus(int(targets[0])), source.plus(int(places[0]))
    whole = bool(nest) and (nest[0].to, nest[0].by) == (1, 1)
    inner = nest[1:] if whole else nest
    for depth, (loop, counter) in enumerate(zip(reversed(inner), COUNTERS, strict=False)):
        yield f"{'    ' * depth}for (int {counter} = 0; {counter} < {loop.count}; {counter}++)"
        to = to.plus(times(counter, loop.to) if loop.to else "")
        source = source.plus(times(counter, loop.by) if loop.by else "")
    if whole:
        line = f"memcpy({to}, {source}, {nest[0].count} * sizeof({dtype}));"
    else:
        line = f"{to.item()} = {source.item()};"
    yield f"{'    ' * len(inner)}{line}"
