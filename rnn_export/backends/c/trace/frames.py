"""Numbers that were moved along time: where each comes from, found by their labels.

Operators that move numbers about run on labels. Behind them a number may stand at another time step than its
own::

    x[:, ::2]          y[p] = x[2 p]
    a window of 3      y[p] = x[p - 1], x[p], x[p + 1]      zeros outside
    x.flip(1)          y[p] = x[T - 1 - p]
    x[:, -1]           y = x[T - 1]
    [B, T, 2] to       y[2 q + r] = x[q][r]                 two phases
      [B, 2 T]

What is read so is an operation of its own, in a later walk over time than the one that makes ``x``.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np

from rnn_export.backends.c.trace.graph import Constant, Gather, Input, View
from rnn_export.backends.c.trace.operations import Frames, Tap
from rnn_export.backends.c.trace.pairs import OTHERS, copied, is_pair, placed
from rnn_export.backends.c.trace.symbols import SPAN, UNIT, Space, Symbol, TakenError, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError
from rnn_export.signature.tensors import Array

Given = TypeVar("Given", Symbol, Value, Value | None)
PHASES = 64  # most of a pattern along time
MIXED = "it mixes numbers of several time steps"


@dataclass(frozen=True)
class Units:
    """Numbers along time, ``[U, P]`` of a row: of which vector, which number, and of which time step."""

    numbers: Array
    steps: Array
    timed: Array  # whether the number is another one at each time step

    def take(self, units: Array) -> "Units":
        """Give some of the units."""
        return Units(self.numbers[units], self.steps[units], self.timed[units])


@dataclass(frozen=True)
class Line:
    """What the units read at place ``q`` of a phase: number ``numbers`` at time step ``times * q + more``."""

    numbers: Array
    times: Array
    more: Array
    fills: Array  # the number that stands where there is no such time step, or -1


def settled(tracer: Tracing, value: Given) -> Given:
    """Give a value whose numbers stand at their own time steps; read at others, by an operation.

    Raises:
        CompileError: there is no pattern in what is read.
    """
    return _settled(tracer, value) if isinstance(value, Symbol) else value


def _settled(tracer: Tracing, value: Symbol) -> Symbol:
    space = tracer.space
    if tracer.inside is not None:
        return placed(tracer, value)
    axes = space.clock_axes(value.shape)
    if space.paired(value.labels):
        if not is_pair(space, value):
            raise CompileError(OTHERS)
        return value
    if len(axes) > 2:
        raise TakenError("it has three axes of time steps")
    if len(axes) == 2 or is_plain(space, value):
        return value  # of two, that of the time steps is looked at where they are walked over
    numbers, _, steps = space.apart(value.labels)
    timed = _timed(space)[space.owners(numbers)]
    batch = space.batch_axis(value)
    first = [np.take(each, [0], batch) if batch is not None else each for each in (numbers, steps, timed)]
    last = [np.moveaxis(each, axes[0], -1) if axes else each[..., None] for each in first]
    units = Units(*(each.reshape(-1, each.shape[-1]) for each in last))
    found = _read(tracer, units, batch is not None)
    shape = [space.rows if batch is not None else 1, *last[0].shape]
    wide = found.reshape(shape)  # [B, ..., 1 in the place of the batch, ..., P]
    if batch is not None:
        place = batch - (bool(axes) and axes[0] < batch)
        wide = np.moveaxis(np.squeeze(wide, 1 + place), 0, place)
    else:
        wide = wide[0]
    return Symbol(np.moveaxis(wide, -1, axes[0]) if axes else wide[..., 0])


def is_plain(space: Space, value: Symbol) -> bool:
    """Whether every number of a value, which has one time axis at most, stands at its own time step."""
    numbers, _, steps = space.apart(value.labels)
    timed = _timed(space)[space.owners(numbers)]
    axes = [axis for axis, size in enumerate(value.shape) if size in space.clocks]
    if not axes:
        return not timed.any()
    [axis] = axes
    size = numbers.shape[axis]
    if (numbers != np.take(numbers, [0], axis)).any():
        return False
    own = {space.vectors[owner].clock for owner in np.unique(space.owners(numbers[timed]))}
    count = np.arange(size).reshape([-1 if k == axis else 1 for k in range(numbers.ndim)])
    return own <= {space.clocks[size]} and bool((np.where(timed, steps, count) == count).all())


def _timed(space: Space) -> Array:
    """Say of each vector whether it is another one at each time step."""
    return np.array([vector.clock is not None for vector in space.vectors], bool)


def _read(tracer: Tracing, units: Units, rows: bool) -> Array:
    """Add the operation that reads what is moved; give the new labels ``[B, U, P]``."""
    space, size = tracer.space, units.numbers.shape[1]
    clock = space.clocks.get(size)
    still = ~units.timed.any(1) & (units.numbers == units.numbers[:, :1]).all(1)
    count = space.rows if rows else 1
    own = units.numbers * UNIT + (np.arange(size) if clock else 0)
    labels = own[None] + np.arange(count)[:, None, None] * SPAN
    moved = np.flatnonzero(~still)
    every, lines = _lines(space, units.take(moved), size)
    whole = _whole_inputs(tracer, lines)
    whole = _filled(whole)
    order = np.lexsort((whole[0].numbers, whole[0].more))
    taps = [tap for phase, line in enumerate(whole) for tap in _taps(space, line, order, phase)]
    operation = Frames(tuple(view for view, _ in taps), taps=tuple(tap for _, tap in taps), every=every)
    vector = tracer.add(operation, len(moved), taps[0][0].vector.dtype, clock)
    made = space.new(vector, [space.rows, *([size] if clock else []), len(moved)]).labels
    made = made if clock else made[:, None]
    labels[:, moved[order]] = np.moveaxis(made[:count], 1, 2)
    return labels


def _lines(space: Space, units: Units, size: int) -> tuple[int, list[Line]]:
    """Find the pattern with the fewest phases, and what each of them reads."""
    reason = CompileError(MIXED)
    for every in range(1, min(PHASES, size // 3) + 1) if size > 1 else [1]:
        try:
            parts = (
                Units(units.numbers[:, r::every], units.steps[:, r::every], units.timed[:, r::every])
                for r in range(every)
            )
            return every, [_line(space, part) for part in parts]
        except TakenError:
            raise
        except CompileError as error:
            reason = error
    raise reason


def _line(space: Space, units: Units) -> Line:
    """Fit what units read along a phase.

    Raises:
        CompileError: they do not read one number at evenly spaced time steps.
    """
    count, size = units.numbers.shape
    read = units.timed.sum(1)
    if (read == 0).any():
        raise CompileError(MIXED)
    if size > 1 and (read == 1).any():
        raise TakenError("too few time steps to see how they are read")
    first = units.timed.argmax(1)
    every, place = np.arange(count), np.arange(size)
    numbers = units.numbers[every, first]
    start = units.steps[every, first]
    times = units.steps[every, first + 1] - start if size > 1 else np.zeros_like(start)
    more = start - times * first
    wanted = times[:, None] * place + more[:, None]
    lengths = np.array([space.size(space.vectors[owner].clock) for owner in space.owners(numbers)])
    inside = (wanted >= 0) & (wanted < lengths[:, None])
    right = (units.numbers == numbers[:, None]) & (units.steps == wanted)
    if (inside != units.timed).any() or (inside & ~right).any():
        raise CompileError(MIXED)
    fills = np.where(inside, -1, units.numbers)
    most = fills.max(1)
    if ((fills != most[:, None]) & ~inside).any():
        raise CompileError("what stands before the first time step is another number than behind the last")
    return Line(numbers, times, more, most)


def _filled(lines: list[Line]) -> list[Line]:
    """Let all units have what most have outside of the time steps: at other sizes they may need it, too."""
    known = np.concatenate([line.fills[line.fills >= 0] for line in lines])
    if len(np.unique(known)) != 1:
        return lines
    return [replace(line, fills=np.where(line.fills < 0, known[0], line.fills)) for line in lines]


def _whole_inputs(tracer: Tracing, lines: list[Line]) -> list[Line]:
    """Let parts of an argument of the call be read from a copy; all of it is read where the caller has it."""
    space = tracer.space
    owners = np.unique(np.concatenate([space.owners(line.numbers) for line in lines]))
    for owner in owners:
        vector = space.vectors[owner]
        if not isinstance(vector.operation, Input):
            continue
        copy = copied(tracer, vector)
        shift = space.bases[space.vectors.index(copy)] - space.bases[owner]
        lines = [
            replace(
                line,
                numbers=np.where(space.owners(line.numbers) == owner, line.numbers + shift, line.numbers),
            )
            for line in lines
        ]
    return lines


def _taps(space: Space, line: Line, order: Array, phase: int) -> list[tuple[View, Tap]]:
    """Put units together that stand side by side and are read at one time."""
    numbers, times, more, fills = (each[order] for each in (line.numbers, line.times, line.more, line.fills))
    owners, fill_owners = space.owners(numbers), space.owners(fills)
    breaks = (np.diff(numbers) != 1) | (np.diff(owners) != 0) | (np.diff(times) != 0) | (np.diff(more) != 0)
    breaks |= (np.diff(fills) != 0) & ((np.diff(fill_owners) != 0) | (np.diff(fills) != 1))
    starts = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(numbers)]
    found = []
    for start, end in pairwise(starts):
        vector = space.vectors[owners[start]]
        offset = int(numbers[start]) - space.bases[owners[start]]
        assert vector.clock is not None
        length, step, at = space.size(vector.clock), int(times[start]), int(more[start])
        back = step < 0 or (step == 0 and at > length / 2)
        when, fill = at - (length - 1) if back else at, _fill(space, fills[start:end])
        tap = Tap(start, end - start, step, when, back, phase, fill)
        found.append((View(vector, offset, end - start), tap))
    return found


def _fill(space: Space, numbers: Array) -> Constant | None:
    """Give the constants that stand outside of all time steps."""
    if (numbers < 0).all():
        return None
    several, places = np.unique(numbers, return_inverse=True)
    values = []
    for number in several.tolist():
        owner = int(space.owners(np.array(number)))
        operation, place = space.vectors[owner].operation, number - space.bases[owner]
        if not isinstance(operation, Gather) or not all(isinstance(e, Constant) for e in operation.operands):
            raise CompileError("what stands before the first time step, or behind the last, is computed")
        parts = [np.broadcast_to(e.values, e.size) for e in operation.operands if isinstance(e, Constant)]
        values.append(np.concatenate(parts)[place])
    return Constant(np.array(values)[places])
