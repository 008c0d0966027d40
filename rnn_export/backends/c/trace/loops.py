"""Loops: what a ``Scan`` does at each time step, its states, and what is left of them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.frames import settled
from rnn_export.backends.c.trace.graph import Final, State, View
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.backends.c.trace.tracing import Tracing
from rnn_export.errors import CompileError
from rnn_export.program.scan import Scan

FEW = 16  # steps over an axis that is not time, up to which they are written one after another
Step = Callable[
    [ir.Graph, dict[ir.Value, Value]], list[Value]
]  # from a graph and what is known of its inputs


def scan(
    tracer: Tracing, node: ir.Node, arguments: list[Value | None], read: list[Symbol], step: Step
) -> list[Value]:
    """Trace a loop, given what each of its steps reads as a whole, and how one is traced."""
    loop = Scan(node)
    body, count, (axes, out_axes) = loop.body, len(loop.states), loop.axes
    if loop.direction is None:
        raise CompileError("it runs in both directions")
    given = [settled(tracer, tracer.symbol(value)) for value in arguments[count:] if value is not None]
    sizes = {value.shape[axis] for value, axis in zip(given, axes, strict=True)}
    initials = [settled(tracer, value) for value in arguments[:count]]
    if len(sizes) == 1 and max(sizes) <= FEW and not sizes & tracer.space.free:
        return _each(loop, given, initials, step)
    if len(sizes) != 1 or not sizes <= tracer.space.clocks.keys():
        raise CompileError("it runs over another axis than time")
    clock = tracer.space.clocks[sizes.pop()]
    with tracer.each_step(clock, given, [*initials, *read], reverse=loop.reversed):
        states = [
            _state(tracer, initial, value.shape)
            for initial, value in zip(initials, body.inputs, strict=False)
        ]
        steps = [tracer.at_a_step(value, axis) for value, axis in zip(given, axes, strict=True)]
        results = step(body, dict(zip(body.inputs, [*states, *steps], strict=True)))
        finals = [final(tracer, state, after) for state, after in zip(states, results, strict=False)]
    outer = [
        tracer.sequence(value, axis, clock) for value, axis in zip(results[count:], out_axes, strict=True)
    ]
    return [*finals, *outer]


def _each(loop: Scan, given: list[Symbol], states: list[Value | None], step: Step) -> list[Value]:
    """Trace a loop over a few steps, one after another."""
    count, (axes, out_axes) = len(loop.states), loop.axes
    size = given[0].shape[axes[0]]
    emitted: list[list[Value]] = []
    for number in reversed(range(size)) if loop.reversed else range(size):
        now = [Symbol(np.take(value.labels, number, axis)) for value, axis in zip(given, axes, strict=True)]
        pairs = zip(loop.body.inputs, [*states, *now], strict=True)
        results = step(loop.body, {name: each for name, each in pairs if each is not None})
        states = [*results[:count]]
        emitted.append(results[count:])
    ordered = zip(*(emitted[::-1] if loop.reversed else emitted), strict=True)
    outer = [_stacked(list(each), axis) for each, axis in zip(ordered, out_axes, strict=True)]
    return [*(state for state in states if state is not None), *outer]


def _stacked(values: list[Value], axis: int) -> Value:
    symbols = [value for value in values if isinstance(value, Symbol)]
    if not symbols:
        return np.stack([value for value in values if not isinstance(value, Symbol)], axis)
    if len(symbols) != len(values):
        raise CompileError("what it gives is computed in some of its steps, and a constant in others")
    return Symbol(np.stack([value.labels for value in symbols], axis))


def final(tracer: Tracing, state: Symbol, after: Value) -> Symbol:
    """Say what a state is after a time step; give the one after the last."""
    [own] = tracer.owners(state)
    assert isinstance(own.operation, State)
    if np.broadcast_shapes(after.shape, state.shape) != state.shape:
        raise CompileError(f"a state of shape {state.shape} becomes one of shape {after.shape}")
    own.operation = replace(own.operation, following=tracer.view(after, state.shape, own.dtype))
    found = tracer.emit(Final((View(own, 0, own.size),)), state.shape, own.dtype)
    tracer.vectors[-1].clock = None
    return found


def _state(tracer: Tracing, initial: Value | None, shape: ir.Shape | None) -> Symbol:
    """Give the symbol of a loop's state; it begins with leaves of the call's state or with constants."""
    assert initial is not None
    if not isinstance(initial, Symbol) and tracer.space.rows not in initial.shape:
        free = [k for k, size in enumerate(shape or ()) if not isinstance(size, int)]
        target = list(initial.shape)
        for axis in free[:1]:
            target[axis] = tracer.space.rows
        initial = np.broadcast_to(initial, target)
    if tracer.space.clock_axes(initial.shape):
        raise CompileError("its state has a number for each place of a context")
    units = tracer.space.views(initial, initial.shape)
    if any(isinstance(view, View) and view.vector.clock for view in units):
        raise CompileError("its state begins with what is another one at each time step")
    return tracer.emit(State(tuple(units)), initial.shape, tracer.dtype(initial))
