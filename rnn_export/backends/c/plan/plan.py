"""What stands where while a net runs, and how much of it at once."""

from dataclasses import dataclass, field, replace
from functools import cached_property

from rnn_export.backends.c.plan.buffers import Buffers, row_length, wide
from rnn_export.backends.c.plan.schedule import Group, is_elementwise, stages
from rnn_export.backends.c.trace.elementwise import BOOL, FLOAT, INT
from rnn_export.backends.c.trace.graph import (
    Affine,
    Elementwise,
    Gather,
    Input,
    Lookup,
    Net,
    State,
    Vector,
    View,
)
from rnn_export.backends.c.trace.operations import Convolution, Rows
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec

SLOTS = 64  # rows times time steps that are computed together, at the most
STACK = 256 << 10  # bytes of the buffers of a sweep, about
BYTES = {FLOAT: 4, INT: 8, BOOL: 4}
WORKSPACE = "workspace"  # the leaf of what an earlier sweep left there
# What reads its operands number by number, and never behind the last one. Others load whole vectors of C.
EXACT = (Affine, Convolution, Gather, Lookup, Rows)
PLACES = 8  # windows that a convolution multiplies with its weights at once


@dataclass
class Plan:
    """The stages of a net's sweeps, and its buffers.

    ``workspace`` and ``slots`` are sizes that the header tells as well: floats for each row and time step
    that a sweep leaves to a later one, and the rows times time steps of a block.
    """

    net: Net
    signature: Signature
    workspace: int = 0
    saved: list[tuple[Vector, int]] = field(default_factory=list)  # what goes to the workspace, and where

    def __post_init__(self) -> None:
        self._carry()
        self.stages = [stages(self.net, number) for number in range(len(self.net.sweeps))]
        self.stored = self._stored()
        self.buffers = Buffers(self.net, self._direct())
        self.slots = self._slots()

    def is_inputs(self, vector: Vector) -> bool:
        """Whether a vector is a row of an input, at a time step if that is a sequence."""
        operation = vector.operation
        return isinstance(operation, Input) and operation.leaf in self.inputs

    @cached_property
    def inputs(self) -> dict[str, InputSpec]:
        """The inputs by name."""
        return {spec.name: spec for spec in self.signature.inputs}

    def input_of(self, vector: Vector) -> InputSpec:
        """Give the input that a vector is a row of."""
        assert isinstance(vector.operation, Input)
        return self.inputs[vector.operation.leaf]

    def _carry(self) -> None:
        """Let a sweep read what an earlier one made, out of the workspace."""
        loaded: dict[tuple[Vector, int], Vector] = {}
        for vector in list(self.net.vectors):
            if isinstance(vector.operation, State | Input):
                continue

            def move(view: View, sweep: int = vector.sweep) -> View:
                key = view.vector, sweep
                if view.vector.sweep == sweep:
                    return view
                if key not in loaded:
                    source = Vector(
                        self._kept(view.vector), view.vector.size, view.vector.dtype, sweep, view.vector.name
                    )
                    loaded[key] = source
                    self.net.vectors.insert(0, source)
                return View(loaded[key], view.offset, view.size, view.step)

            vector.operation = vector.operation.moved(move)

    def _kept(self, vector: Vector) -> Input:
        """Say where a later sweep finds what this one made: in the call's leaf, or in the workspace."""
        if isinstance(vector.operation, Input):
            return replace(vector.operation)
        offsets = dict(self.saved)
        if vector not in offsets:
            offsets[vector] = self.workspace
            self.saved.append((vector, self.workspace))
            self.workspace += vector.size
        return Input(leaf=WORKSPACE, offset=offsets[vector])

    def _groups(self) -> list[Group]:
        return [group for part in self.stages for stage in part for group in stage.groups]

    def _stored(self) -> set[Vector]:
        """Find what more than its own group reads."""
        inside = {known.vector for group in self._groups() for known in group.products}
        home = {vector: group for group in self._groups() for vector in group.vectors}
        found = {vector for vector, _ in self.saved}
        found |= {
            vector
            for vector in self.net.vectors
            if not isinstance(vector.operation, Elementwise | Input | State) and vector not in inside
        }
        for vector, uses in self.net.uses().items():
            for user, view in uses if vector not in inside else ():
                outside = user is None or home.get(user) is not home.get(vector)
                alone = user is not None and (not is_elementwise(user) or user in inside)
                if outside or alone or view.size != vector.size:
                    found.add(vector)
        return found | {state.following.vector for state in self.net.states() if state.following}

    def _direct(self) -> set[Vector]:
        """Find the inputs that may be read where the caller has them: forward, and number by number."""
        uses = self.net.uses()
        return {
            vector
            for vector in self.net.vectors
            if self.is_inputs(vector)
            and self.input_of(vector).time_axis is not None
            and not self.net.sweeps[vector.sweep].reverse
            and all(user is not None and isinstance(user.operation, EXACT) for user, _ in uses[vector])
        }

    def evenly(self, vector: Vector) -> bool:
        """Whether all rows of an input stand evenly spaced over all time steps: the time in front."""
        return self.input_of(vector).batch_axis == 1

    def buffered(self, sweep: int) -> list[Vector]:
        """List what has a buffer of its own in a sweep, the states left out."""
        return [
            vector
            for vector in self.net.vectors
            if vector.sweep == sweep
            and vector.start is None
            and vector not in self.buffers.owners
            and not isinstance(vector.operation, State)
            and (self._is_sequence(vector) if isinstance(vector.operation, Input) else vector in self.stored)
        ]

    def _is_sequence(self, vector: Vector) -> bool:
        operation = vector.operation
        return isinstance(operation, Input) and operation.leaf in (*self.inputs, WORKSPACE)

    def _bytes(self) -> int:
        """Give the bytes of all buffers for each slot."""
        sizes = [sum(map(_row_bytes, self.buffered(number))) for number in range(len(self.net.sweeps))]
        return max(sizes) + 2 * sum(map(_row_bytes, self.net.states()))

    def _slots(self) -> int:
        most = STACK // max(1, self._bytes())
        return max(1, min(SLOTS, most - most % 4 if most >= 4 else most))

    def stack(self) -> int:
        """Give the bytes of all buffers, and of what operations use for themselves."""
        operations = [vector.operation for vector in self.net.vectors]
        own = [sum(scratch(each)) for each in operations if isinstance(each, Convolution)]
        return self.slots * self._bytes() + BYTES[FLOAT] * sum(own)


def scratch(operation: Convolution) -> tuple[int, int]:
    """Give the floats that a convolution uses for the windows of some places, and for their sums."""
    places = min(PLACES, operation.window.count)
    return places * operation.depth, places * wide(operation.columns)


def _row_bytes(vector: Vector) -> int:
    return row_length(vector.size) * BYTES[vector.dtype]
