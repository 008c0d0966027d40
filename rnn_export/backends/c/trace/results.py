"""Where the results of a traced graph stand: the outputs, and the state that comes out."""

from math import prod

from rnn_export.backends.c.trace.graph import (
    ONCE,
    TIME_STEPS,
    Constant,
    Final,
    Gather,
    Input,
    Operand,
    View,
)
from rnn_export.backends.c.trace.net import Net, Output, Sweep
from rnn_export.backends.c.trace.pairs import at_each, outer_axis, placed_view
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.trace import Tracer
from rnn_export.errors import CompileError
from rnn_export.signature.sizes import Length
from rnn_export.signature.tensors import TensorSpec

PIECES = 8  # of an output, up to which each is copied by itself


def in_front(spec: TensorSpec) -> bool:
    """Whether the numbers of a row at a time step stand side by side, so that they are copied as one."""
    return all(size == 1 or isinstance(size, str) for size in spec.shape[: spec.free_axes[-1]])


def net_of(tracer: Tracer, results: list[Value]) -> Net:
    """Say where the results of a traced graph stand, the outputs first.

    Raises:
        CompileError: one is not what the signature says, or not of the last time step where it has to be.
    """
    count = len(tracer.signature.outputs)
    walks = tracer.walks
    if not walks.sweeps:
        walks.over(TIME_STEPS, 0)
    outputs = [
        _output(tracer, spec, value)
        for spec, value in zip(tracer.signature.outputs, results[:count], strict=True)
    ]
    found = []
    for spec, value in zip(tracer.signature.returned_state, results[count:], strict=True):
        if tuple(value.shape) != spec.sized(**tracer.sizes):
            raise CompileError(f"{spec.output_name} has the shape {list(value.shape)}")
        found.append([_final(view) for view in tracer.space.views(value, value.shape)])
    sweeps = [Sweep(reverse=bool(sweep.reverse), clock=sweep.clock) for sweep in walks.sweeps]
    net = Net(sweeps, tracer.vectors, outputs, found)
    if any(uses for vector, uses in net.uses().items() if vector in tracer.row_numbers):
        raise CompileError("it computes with the number of a row")
    return net


def _output(tracer: Tracer, spec: TensorSpec, value: Value) -> Output:
    """Say where the numbers of an output stand."""
    shape = spec.sized(**tracer.sizes)
    if tuple(value.shape) != shape:
        raise CompileError(f"{spec.name} has the shape {list(value.shape)}, not {list(shape)}")
    inner = _places_axis(tracer, value) if isinstance(value, Symbol) else None
    if isinstance(value, Symbol) and inner is not None:
        return _of_places(tracer, value, inner)
    clock = tracer.space.clock(shape)
    if clock is None and isinstance(value, Symbol) and tracer.space.is_last(value):
        pieces = _pieces(tracer, value)
        if not any(
            tracer.walks.sweeps[part.vector.sweep].reverse for part in pieces if isinstance(part, View)
        ):
            return Output(pieces, clock)
    settled: Symbol = tracer.plain(tracer.symbol(value))
    pieces = _pieces(tracer, settled)
    if not in_front(spec) or not all(_is_at(tracer, piece, clock) for piece in pieces):
        size, dtype = prod(tracer.space.unit_shape(shape)), tracer.dtype(settled)
        pieces = [View(tracer.add(Gather(tuple(pieces)), size, dtype, clock or ONCE), 0, size)]
    return Output(pieces, clock)


def _places_axis(tracer: Tracer, value: Symbol) -> int | None:
    """Find the axis of an output that is one of places: the other of two free ones, or at the last step."""
    axes = tracer.space.clock_axes(value.shape)
    outer = outer_axis(tracer, value.shape, [value])
    if outer is not None:
        return next(axis for axis in axes if axis != outer + len(value.shape))
    return axes[0] if axes and tracer.space.paired(value.labels) else None


def _of_places(tracer: Tracer, value: Symbol, inner: int) -> Output:
    """Say where the numbers of an output stand, at each time step or at the last one, for all places."""
    axes = [axis for axis in tracer.space.clock_axes(value.shape) if axis != inner]
    if axes:
        clock, now = tracer.space.clocks[value.shape[axes[0]]], tracer.plain(value)
    else:
        clock, first = TIME_STEPS, Symbol(value.labels - (tracer.space.steps - 1))
        now = tracer.symbol(tracer.sequence(first, 0, clock))  # is that of the last step, as is checked below
    axis, found = axes[0] if axes else 0, list[View]()

    def step(values: list[Value]) -> Symbol:
        found.append(placed_view(tracer, tracer.symbol(values[0])))
        return tracer.symbol(values[0])

    at_each(tracer, [tracer.plain(now)], [axis - len(now.shape)], step, axis)
    if not axes and tracer.walks.sweeps[found[0].vector.sweep].reverse:
        raise CompileError("it is what stands first in a loop from the last time step to the first")
    return Output([*found], clock if axes else None, inner)


def _pieces(tracer: Tracer, value: Symbol) -> list[Operand]:
    pieces = tracer.space.views(value, value.shape)
    sweeps = {part.vector.sweep for part in pieces if isinstance(part, View)}
    return [tracer.view(value, value.shape)] if len(pieces) > PIECES and len(sweeps) == 1 else pieces


def _is_at(tracer: Tracer, piece: Operand, clock: Length | None) -> bool:
    """Whether a walk over an output's own time steps makes a piece of it."""
    if isinstance(piece, Constant):
        return True
    vector = piece.vector
    if isinstance(vector.operation, Final) or vector.sweep >= len(tracer.walks.sweeps):
        return False
    return tracer.walks.sweeps[vector.sweep].clock == (clock or ONCE)


def _final(view: Operand) -> Operand:
    """Give a place in a final state as one in the state ittracer."""
    operation = view.vector.operation if isinstance(view, View) else None
    if isinstance(view, View) and isinstance(operation, Final):
        [state] = operation.views()
        return View(state.vector, view.offset, view.size, view.step)
    if operation is not None and not isinstance(operation, Input):
        raise CompileError("a state that comes out is not a loop's")
    return view
