"""What rules that lift a node know of its arguments, and how axes and shapes are those of all time steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from rnn_export.program.build import Builder
from rnn_export.program.values import constant_ints


@dataclass(frozen=True)
class Argument:
    """An input of a node: its value in the outer graph, and how it looks in the step."""

    value: ir.Value
    lifted: bool
    rank: int


def value_of(argument: Argument | None) -> ir.Value | None:
    """Give the value of an argument; an optional one may be missing."""
    return argument.value if argument else None


Rule = Callable[[Builder, ir.Node, list[Argument | None]], list[ir.Value] | None]


def next_axes(build: Builder, axes: Sequence[int], rank: int) -> ir.Value:
    """Give axes of a step as those behind the time axis."""
    return build.constant([axis % rank + 1 for axis in axes])


def repeated(build: Builder, arguments: Sequence[Argument | None]) -> list[ir.Value] | None:
    """Give arguments for all time steps: those that are the same at each stand there as often."""
    first = next((argument for argument in arguments if argument and argument.lifted), None)
    if first is None or None in arguments:
        return None
    found = []
    for argument in filter(None, arguments):
        value = argument.value
        if not argument.lifted:
            steps = build.emit("Shape", [first.value], {"start": 0, "end": 1})
            sizes = build.emit("Concat", [steps, build.constant([1] * argument.rank)], {"axis": 0})
            value = build.emit("Expand", [build.emit("Unsqueeze", [value, build.constant([0])]), sizes])
        found.append(value)
    return found


def prefixed(build: Builder, number: int, shape: ir.Value) -> ir.Value:
    """Put a number in front of a shape."""
    known = constant_ints(shape)
    if known is not None:
        return build.constant([number, *known])
    return build.emit("Concat", [build.constant([number]), shape], {"axis": 0})
