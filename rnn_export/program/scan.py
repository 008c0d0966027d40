"""A typed view of a ``Scan``: its operands and results by what they are, not by where they stand.

Outside and inside of the loop, each of four names is a list of values::

    final_states, results = Scan (initial_states, sequences) <body = step
        (states, elements) => (next_states, emitted)>

At every time step ``t`` the body reads ``elements[k] = sequences[k][t]`` and the states, and writes
``results[k][t] = emitted[k]``. A reversed loop runs from the last ``t`` to the first. Anchor: xDSL's
``scf.ForOp``.

Source: https://onnx.ai/onnx/operators/onnx__Scan.html (opset 16).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import onnx
import onnx_ir as ir

FORWARD, REVERSED = 0, 1  # a direction, as the operator's attributes have it
COUNT = "num_scan_inputs"
DIRECTIONS = ("scan_input_directions", "scan_output_directions")
AXES = ("scan_input_axes", "scan_output_axes")
Values = tuple[ir.Value, ...]


@dataclass(frozen=True)
class Scan:
    """A node whose operator is ``Scan``. Nothing of it is copied: a view of a changed node is up to date."""

    node: ir.Node

    @classmethod
    def build(
        cls,
        body: ir.Graph,
        initial_states: Sequence[ir.Value | None],
        sequences: Sequence[ir.Value],
        directions: Sequence[int] = (),
        result_directions: Sequence[int] = (),
        name: str | None = None,
    ) -> "Scan":
        """Make a loop over leading axes; directions that are left out are forward."""
        listed = zip(DIRECTIONS, (directions, result_directions), strict=True)
        node = ir.node(
            "Scan",
            [*initial_states, *sequences],
            {"body": body, COUNT: len(sequences), **{name: list(each) for name, each in listed if any(each)}},
            num_outputs=len(body.outputs),
            name=name,
        )
        return cls(node)

    @property
    def body(self) -> ir.Graph:
        """The graph of one time step."""
        return self.node.attributes["body"].as_graph()

    @property
    def _states(self) -> int:
        return len(self.node.inputs) - self.node.attributes[COUNT].as_int()

    @property
    def initial_states(self) -> Values:
        """The states before the first time step."""
        return cast("Values", tuple(self.node.inputs[: self._states]))  # no input of a Scan is optional

    @property
    def sequences(self) -> Values:
        """What the loop reads, a time step of it at each turn."""
        return cast("Values", tuple(self.node.inputs[self._states :]))

    @property
    def final_states(self) -> Values:
        """The states after the last time step."""
        return tuple(self.node.outputs[: self._states])

    @property
    def results(self) -> Values:
        """What the loop gives for all time steps."""
        return tuple(self.node.outputs[self._states :])

    @property
    def states(self) -> Values:
        """The states that the body reads."""
        return tuple(self.body.inputs[: self._states])

    @property
    def elements(self) -> Values:
        """What the body reads of the sequences: no time axis."""
        return tuple(self.body.inputs[self._states :])

    @property
    def next_states(self) -> Values:
        """The states that the body gives, in the order of ``states``."""
        return tuple(self.body.outputs[: self._states])

    @property
    def emitted(self) -> Values:
        """What the body gives of the results: no time axis."""
        return tuple(self.body.outputs[self._states :])

    @property
    def directions(self) -> tuple[list[int], list[int]]:
        """The direction in which each sequence is read, and each result written."""
        return self._lists(DIRECTIONS)

    @property
    def axes(self) -> tuple[list[int], list[int]]:
        """The axis of each sequence, and of each result, that is time."""
        return self._lists(AXES)

    def _lists(self, names: tuple[str, str]) -> tuple[list[int], list[int]]:
        counts = len(self.sequences), len(self.results)
        read, written = (
            list(self.node.attributes.get_ints(name, [0] * count))
            for name, count in zip(names, counts, strict=True)
        )
        return read, written

    @property
    def direction(self) -> Literal["forward", "reverse"] | None:
        """How it runs, in the words of ONNX's ``RNN``; ``None`` if only a part of it is reversed."""
        read, written = self.directions
        directions = {*read, *written}
        return None if len(directions) > 1 else "reverse" if directions == {REVERSED} else "forward"

    @property
    def reversed(self) -> bool:
        """Whether it runs from the last time step to the first, and puts every result where it read."""
        return self.direction == "reverse"

    @property
    def leading(self) -> bool:
        """Whether time is the first axis of every sequence and every result."""
        return not any(axis for axes in self.axes for axis in axes)

    @property
    def plain(self) -> bool:
        """Whether it runs over leading axes, one way, and its body holds no graphs and no lists.

        That is what passes work on.
        """
        nested = any(
            attribute.type == ir.AttributeType.GRAPH
            for node in self.body
            for attribute in node.attributes.values()
        )
        lists = any(isinstance(value.type, ir.SequenceType) for node in self.body for value in node.outputs)
        return not nested and not lists and self.leading and self.direction is not None

    def set_direction(self, direction: int) -> None:
        """Run forward over leading axes, or reversed."""
        for name, count in zip(DIRECTIONS, (len(self.sequences), len(self.results)), strict=True):
            self.node.attributes.pop(name, None)
            if direction == REVERSED and count:  # ONNX allows no empty list
                self.node.attributes[name] = ir.AttrInt64s(name, [REVERSED] * count)

    def take_axes(self) -> tuple[list[int], list[int]]:
        """Give the axes and forget them: time is the first axis of everything from now on."""
        axes = self.axes
        for name in AXES:
            self.node.attributes.pop(name, None)
        return axes

    def append_sequence(self, sequence: ir.Value, element: ir.Value) -> None:
        """Read one more sequence; ``element`` is what the body reads of it."""
        self._set_count(len(self.sequences) + 1)
        self.node.resize_inputs(len(self.node.inputs) + 1)
        self.node.replace_input_with(len(self.node.inputs) - 1, sequence)
        self.body.inputs.append(element)

    def remove_sequences(self, elements: Iterable[ir.Value]) -> None:
        """Read some of the sequences no more; nothing in the body may use these elements of them."""
        for element in elements:
            place = self.body.inputs.index(element)
            kept = [value for number, value in enumerate(self.node.inputs) if number != place]
            self._set_count(len(self.sequences) - 1)
            del self.body.inputs[place]
            for number, value in enumerate(kept):
                self.node.replace_input_with(number, value)
            self.node.resize_inputs(len(kept))

    def _set_count(self, count: int) -> None:
        """Say how many sequences a loop reads, all in the direction of those that it reads now."""
        if self.reversed:
            self.node.attributes[DIRECTIONS[0]] = ir.AttrInt64s(DIRECTIONS[0], [REVERSED] * count)
        self.node.attributes[COUNT] = ir.AttrInt64(COUNT, count)

    def with_initial_states(self, initial_states: Sequence[ir.Value]) -> "Scan":
        """Make a loop with the same body that begins with other states, and possibly more of them."""
        inputs = [*initial_states, *self.sequences]
        return self._again(inputs, len(initial_states) + len(self.results), self.node.attributes)

    def with_results(self, kept: Sequence[int]) -> "Scan":
        """Make a loop that gives only some of the results, by number; the body gives only these as well."""
        emitted, count = [self.emitted[number] for number in kept], len(self.states)
        attributes, written = dict(self.node.attributes), self.directions[1]
        if attributes.pop(DIRECTIONS[1], None) is not None and kept:
            attributes[DIRECTIONS[1]] = ir.AttrInt64s(DIRECTIONS[1], [written[number] for number in kept])
        # a value that is deleted from a graph's outputs would still say that it is one of them
        self.body.outputs[:] = [*self.next_states, *emitted]
        return self._again(self.node.inputs, count + len(kept), attributes)

    def _again(self, inputs: Sequence[ir.Value | None], count: int, attributes: Any) -> "Scan":
        node = ir.Node("", "Scan", inputs, attributes.values(), num_outputs=count)
        node.metadata_props.update(self.node.metadata_props)
        return Scan(node)


def scans(graph: ir.Graph) -> list[Scan]:
    """List the loops of a graph, in its order."""
    return [Scan(node) for node in graph if node.op_type == "Scan" and node.domain in ("", "ai.onnx")]


def count_states(node: onnx.NodeProto) -> int:
    """Count the states of a ``Scan`` that stands in a file."""
    [sequences] = [onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == COUNT]
    return len(node.input) - int(sequences)
