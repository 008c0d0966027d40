"""What there is one of for each pair: of a time step and a place of a memory, or of two time steps.

::

    scores[t, s] = q[t] . k[s]        weights = softmax over s        y[t] = sum over s of weights[t, s] v[s]

A walk over time holds it for one time step at a time, for all places: ``k`` and ``v``, which earlier walks
made at their own steps, are the places of the time step. Of two free axes, time is the one that is walked
over; of two that are both time, the first one.
"""

from collections.abc import Callable, Sequence

import numpy as np

from rnn_export.backends.c.trace.graph import Gather, Input, Operand, Vector, View
from rnn_export.backends.c.trace.operations import Across, Each
from rnn_export.backends.c.trace.symbols import PLACE, UNIT, Space, Symbol, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError
from rnn_export.signature.sizes import TIME

OTHERS = "for a time step, it takes single places of what there is one of for each"
THREE = "there is one of it for each of three free axes"


def outer_axis(tracer: Tracing, shape: Sequence[int], values: Sequence[Value]) -> int | None:
    """Choose the axis that is walked over, counted from the end, if a result's shape has two free ones.

    Raises:
        CompileError: it has three.
    """
    space = tracer.space
    axes = [axis - len(shape) for axis in space.clock_axes(shape)]
    if len(axes) + (tracer.inside is not None) > 2:
        raise CompileError(THREE)
    if len(axes) < 2:
        return None
    for value in values:
        if isinstance(value, Symbol) and space.paired(value.labels):
            steps = next((axis for axis in axes if _steps_along(space, value, axis)), None)
            if steps is not None:
                return steps
    return next((axis for axis in axes if space.clocks[shape[axis]].base == TIME), axes[0])


def _steps_along(space: Space, value: Symbol, axis: int) -> bool:
    """Whether the time step is another one along an axis."""
    if -axis > len(value.shape) or value.shape[axis] == 1:
        return False
    steps = space.apart(value.labels)[2]
    return bool((np.take(steps, 1, axis) != np.take(steps, 0, axis)).any())


def at_each(
    tracer: Tracing,
    arguments: Sequence[Value],
    axes: Sequence[int | None],
    apply: Callable[[list[Value]], Symbol],
    out: int,
) -> Symbol:
    """Do something at each step of an axis, which keeps a size of 1 in what is done.

    Args:
        tracer: the net so far.
        arguments: of what is done.
        axes: which axis of each that is, if it has it. Others are read as a whole.
        apply: what is done.
        out: which axis of the result that is.
    """
    space = tracer.space
    sizes = [value.shape[axis] for value, axis in zip(arguments, axes, strict=True) if axis is not None]
    clock = space.clocks[sizes[0]]
    given = [
        whole(tracer, value) if isinstance(value, Symbol) and axis is None else value
        for value, axis in zip(arguments, axes, strict=True)
    ]
    pairs = list(zip(given, axes, strict=True))
    reads = [value for value, axis in pairs if isinstance(value, Symbol) and axis is not None]
    ends = [value for value, axis in pairs if axis is None and space.clock_axes(value.shape)]
    with tracer.each_step(clock, reads, ends):
        steps = [value if axis is None else _first(space, value, axis) for value, axis in pairs]
        result = apply([placed(tracer, each) if isinstance(each, Symbol) else each for each in steps])
    return tracer.symbol(tracer.sequence(Symbol(np.take(result.labels, 0, out)), out, clock))


def _first(space: Space, value: Value, axis: int) -> Value:
    """Give what a value is at the first step of an axis, which keeps a size of 1.

    Raises:
        CompileError: it is not the same, or the next step's, at each other one.
    """
    array = value.labels if isinstance(value, Symbol) else value
    one = np.take(array, [0], axis)
    if not isinstance(value, Symbol):
        if not np.array_equal(array, np.broadcast_to(one, array.shape), equal_nan=array.dtype.kind == "f"):
            raise CompileError("numbers of time steps are constants that differ")
        return one
    shape = [1] * array.ndim
    shape[axis] = -1
    moved, count = array - one, np.arange(array.shape[axis]).reshape(shape)
    if ((moved != 0) & (moved != count)).any():
        raise CompileError("it reads other time steps than its own")
    return Symbol(one)


def whole(tracer: Tracing, value: Symbol) -> Symbol:
    """Let what is read as a whole be one vector for each of its steps, and no argument of the call."""
    space, labels = tracer.space, value.labels
    alone = len(space.clock_axes(value.shape)) == 1 and space.rows in value.shape
    units = tuple(space.views(value, value.shape)) if alone else ()
    if len(units) > 1:
        return _together(tracer, value, units)
    numbers = space.apart(labels)[0]
    owners = space.owners(numbers)
    for owner in np.unique(owners):
        vector = space.vectors[owner]
        if isinstance(vector.operation, Input) and vector.clock is not None:
            copy = copied(tracer, vector)
            labels = np.where(owners == owner, labels + _apart(space, owner, copy) * UNIT, labels)
    return Symbol(labels)


def _together(tracer: Tracing, value: Symbol, units: tuple[Operand, ...]) -> Symbol:
    """Put the numbers of several vectors side by side, once and not at each step that reads them."""
    clock, size = tracer.space.clock(value.shape), sum(unit.size for unit in units)
    for known in tracer.vectors:
        same = isinstance(known.operation, Gather) and known.operation.operands == units
        if same and known.clock == clock and known in tracer.space.vectors:
            return tracer.space.again(known, value.shape)
    return tracer.space.new(tracer.add(Gather(units), size, tracer.dtype(value), clock), value.shape)


def _apart(space: Space, owner: int, other: Vector) -> int:
    """Say how far the numbers of a vector are from those of another one."""
    return space.bases[space.vectors.index(other)] - space.bases[owner]


def copied(tracer: Tracing, vector: Vector) -> Vector:
    """Give a copy of an argument of the call, at each of its time steps."""
    for known in tracer.vectors:
        if isinstance(known.operation, Gather) and known.operation.operands == (
            View(vector, 0, vector.size),
        ):
            return known
    clock = vector.clock
    assert clock is not None
    copy = tracer.add(Gather((View(vector, 0, vector.size),)), vector.size, vector.dtype, clock)
    tracer.space.new(copy, [tracer.space.rows, tracer.space.size(clock), vector.size])
    return copy


def placed(tracer: Tracing, value: Symbol) -> Symbol:
    """Give a value as a step of a walk reads it: what earlier walks made at their steps, as places.

    Raises:
        CompileError: it reads places in another order, or some of them alone.
    """
    space, labels = tracer.space, value.labels
    numbers, _, steps = space.apart(labels)
    owners = space.owners(numbers)
    axes = space.clock_axes(value.shape)
    if len(axes) > 1:
        raise CompileError(THREE)
    if not axes:
        _check_own(tracer, [space.vectors[owner] for owner in np.unique(owners)])
        return value
    [axis] = axes
    count = np.arange(value.shape[axis]).reshape([-1 if k == axis else 1 for k in range(labels.ndim)])
    if (numbers != np.take(numbers, [0], axis)).any():
        raise CompileError(OTHERS)
    for owner in np.unique(owners):
        vector, own = space.vectors[owner], owners == owner
        if vector.places is not None:
            if (own & (space.places(labels) != count)).any():
                raise CompileError(OTHERS)
        elif (own & (steps != 0)).any():
            if vector.clock != space.clocks[value.shape[axis]] or (own & (steps != count)).any():
                raise CompileError(OTHERS)
            moved = labels + _apart(space, owner, _each(tracer, vector)) * UNIT + count * (PLACE - 1)
            labels = np.where(own, moved, labels)
    return Symbol(labels)


def _check_own(tracer: Tracing, vectors: Sequence[Vector]) -> None:
    """Check that what has no places is there at the walk's own steps."""
    assert tracer.inside is not None
    clock = tracer.walks.sweeps[tracer.inside].clock
    if any(vector.places is not None or vector.clock not in (None, clock) for vector in vectors):
        raise CompileError(OTHERS)


def _each(tracer: Tracing, vector: Vector) -> Vector:
    """Let the step that is being traced read what an earlier walk made at all of its steps."""
    assert tracer.inside is not None
    view = View(vector, 0, vector.size)
    for known in tracer.vectors:
        same = isinstance(known.operation, Each) and known.operation.operands == (view,)
        if same and known.sweep == tracer.inside:
            return known
    if isinstance(vector.operation, Input) or vector.sweep >= tracer.inside:
        raise CompileError("a step of a loop reads all time steps at once")
    assert vector.clock is not None
    found = tracer.add(Each((view,)), vector.size, vector.dtype, vector.clock)
    tracer.space.new(found, [tracer.space.rows, tracer.space.size(vector.clock), vector.size])
    return found


def across(tracer: Tracing, function: str, value: Symbol, axis: int) -> Symbol:
    """Reduce over the places of a time step; their axis stays with a size of 1."""
    shape = [1 if k == axis % len(value.shape) else size for k, size in enumerate(value.shape)]
    return tracer.emit(Across((placed_view(tracer, value),), function=function), shape, tracer.dtype(value))


def weighed(tracer: Tracing, weights: Symbol, value: Symbol) -> Symbol:
    """Give ``weights @ value`` of a time step, ``[..., 1, S] @ [..., S, N]`` with S places."""
    front = np.broadcast_shapes(weights.shape[:-2], value.shape[:-2])
    pair = [
        placed_view(tracer, Symbol(np.broadcast_to(each.labels, (*front, *each.shape[-2:]))))
        for each in (value, weights)
    ]
    columns = value.shape[-1]
    return tracer.emit(Across(tuple(pair), function="sum", each=columns), (*front, 1, columns))


def placed_view(tracer: Tracing, value: Symbol) -> View:
    """Give a value's numbers at each place of a time step, also where they are all the same."""
    view = tracer.view(value, value.shape)
    if view.vector.places is not None and view.step:
        return view
    clock = tracer.space.clock(value.shape)
    return View(tracer.add(Gather((view,)), view.size, view.vector.dtype, clock), 0, view.size)


def is_pair(space: Space, value: Symbol) -> bool:
    """Whether every number of a value that has two free axes stands at its own time step and place."""
    axes = space.clock_axes(value.shape)
    numbers, _, steps = space.apart(value.labels)
    outer = next((axis for axis in axes if _steps_along(space, value, axis - len(value.shape))), None)
    if outer is None or len(axes) != 2:
        return False
    [inner] = {*axes} - {outer}
    counts = [
        np.arange(value.shape[axis]).reshape([-1 if k == axis else 1 for k in range(numbers.ndim)])
        for axis in (outer, inner)
    ]
    same = all((numbers == np.take(numbers, [0], axis)).all() for axis in axes)
    return bool(same and (steps == counts[0]).all() and (space.places(value.labels) == counts[1]).all())
