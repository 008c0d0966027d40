"""What stands where while a net runs, and how much of it at once."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil

from rnn_export.backends.c.plan.buffers import PAD, Buffers, place_length, wide
from rnn_export.backends.c.plan.room import Room
from rnn_export.backends.c.plan.schedule import Group, is_elementwise, stages
from rnn_export.backends.c.trace.graph import (
    TIME_STEPS,
    WORDS,
    Affine,
    Elementwise,
    Final,
    Gather,
    Input,
    Lookup,
    State,
    Vector,
    View,
    moved,
)
from rnn_export.backends.c.trace.net import Net
from rnn_export.backends.c.trace.operations import (
    At,
    Convolution,
    Count,
    Each,
    Found,
    Frames,
    Kept,
    Number,
    Rows,
    Taken,
)
from rnn_export.errors import CompileError
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME, Length
from rnn_export.signature.tensors import InputSpec

WORKSPACE = "workspace"  # the leaf of what an earlier sweep left there
# What reads its operands number by number, and never behind the last one. Others load whole vectors of C.
EXACT = (Affine, Convolution, Gather, Lookup, Rows)
MANY = 4096  # time steps, up to which it is tried how large a workspace is
PLACES = 8  # windows that a convolution multiplies with its weights at once


@dataclass
class Plan:
    """The stages of a net's sweeps, and its buffers.

    ``room`` says where the buffers stand. ``workspaces`` are sizes that the header tells as well: what of
    them does not fit on the stack, and what sweeps leave to later ones.
    """

    net: Net
    signature: Signature
    saved: list[tuple[Vector, int]] = field(default_factory=list)  # what goes to the workspace, and where
    widths: dict[Length, int] = field(default_factory=dict)  # its words for each row and step of a clock
    kept: dict[Vector, None] = field(default_factory=dict)  # what later walks read that has no time steps
    every: dict[Vector, None] = field(
        default_factory=dict
    )  # what each of their time steps reads at all steps

    def __post_init__(self) -> None:
        self._carry()
        self.stages = [stages(self.net, number) for number in range(len(self.net.sweeps))]
        self.stored = self._stored()
        self.buffers = Buffers(self.net, self._direct())
        self.room = self._room()

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
            if isinstance(vector.operation, Input):
                continue
            if isinstance(vector.operation, At | Frames):
                vector.operation = self._taken(vector.operation)
                continue
            if isinstance(vector.operation, Each):
                self.every |= dict.fromkeys(vector.sources())
                continue

            def move(view: View, sweep: int = vector.sweep) -> View:
                source, key = view.vector, (view.vector, sweep)
                if source.sweep == sweep and not isinstance(source.operation, Final):
                    return view
                if source.places is not None:
                    raise CompileError("what there is of each pair of time steps is read by a later walk")
                if key not in loaded:
                    kept = self._kept(source)
                    loaded[key] = Vector(kept, source.size, source.dtype, sweep, source.name, source.clock)
                    self.net.vectors.insert(0, loaded[key])
                return View(loaded[key], view.offset, view.size, view.step)

            if isinstance(vector.operation, State):
                given = tuple(moved(each, self._begun) for each in vector.operation.operands)
                vector.operation = replace(vector.operation, operands=given)
            elif not isinstance(vector.operation, Final):
                vector.operation = vector.operation.moved(move)
        self.net.left = [*(vector for vector, _ in self.saved), *self.kept, *self.every]
        read = self.net.uses()
        gone = (Input, Final)
        self.net.vectors = [each for each in read if read[each] or not isinstance(each.operation, gone)]

    def _kept(self, vector: Vector) -> Input:
        """Say where a later sweep finds what this one made: in the call's leaf, or in the workspace.

        What has no time steps stays where it was made.
        """
        if isinstance(vector.operation, Input) and not isinstance(vector.operation, Found | Taken):
            return replace(vector.operation)
        if vector.clock is None:
            return Kept(source=self._begun(View(vector, 0, vector.size)))
        offsets = dict(self.saved)
        if vector not in offsets:
            offsets[vector] = self.widths.get(vector.clock, 0)
            self.saved.append((vector, offsets[vector]))
            self.widths[vector.clock] = offsets[vector] + vector.size * WORDS[vector.dtype]
        return Input(leaf=WORKSPACE, offset=offsets[vector], clock=vector.clock)

    def _begun(self, view: View) -> View:
        """Say where numbers that have no time steps stand when the walk that makes them has ended."""
        if isinstance(view.vector.operation, Final):
            [state] = view.vector.operation.views()
            view = View(state.vector, view.offset, view.size, view.step)
        if not isinstance(view.vector.operation, Input) or isinstance(view.vector.operation, Found | Taken):
            self.kept[view.vector] = None
        return view

    def _taken(self, operation: At | Frames) -> Found | Taken:
        """Say where the numbers of other time steps are found."""
        views = operation.views()
        sources = tuple((self._kept(view.vector), view.offset) for view in views)
        if isinstance(operation, Frames):
            return Taken(frames=replace(operation, operands=()), sources=sources)
        return Found(source=sources[0], index=sources[1], each=views[1].count() > 1)

    @cached_property
    def clocks(self) -> list[Length]:
        """The numbers of time steps other than the call's that there are walks over, or things left of."""
        found = dict.fromkeys([*(sweep.clock for sweep in self.net.sweeps), *self.widths])
        return [clock for clock in found if clock != TIME_STEPS]

    @cached_property
    def workspaces(self) -> dict[str, int]:
        """All floats of the workspace, by what there is a number of them for beside each row.

        That is the time steps, or the places of a context, by the name of that size; ``batch`` stands for
        the row alone.
        """
        own = {BATCH: self.room.size + PAD} if self.room.outside else {}  # PAD: what aligns the first one
        return own | self._left_behind()

    def _left_behind(self) -> dict[str, int]:
        rooms: dict[Length, int] = dict(self.widths)
        for vector, length in self.regions.items():
            rooms[length] = rooms.get(length, 0) + place_length(vector)
        bases = dict.fromkeys(length.base for length in rooms)
        padded = {length.base for length in self.regions.values()}
        return {
            base: self._most(
                {length: width for length, width in rooms.items() if length.base == base},
                self.signature.least if base == TIME else 1,
                PAD if base in padded else 0,
            )
            for base in bases
        }

    def _most(self, widths: dict[Length, int], least: int, more: int) -> int:
        """Give the words for each step of the call, given those for each step of clocks, and some more."""
        if list(widths) == [TIME_STEPS]:
            return widths[TIME_STEPS] + more
        needed = (
            ceil((sum(clock.of(steps) * width for clock, width in widths.items()) + more) / steps)
            for steps in range(least, least + MANY)
        )
        endless = sum(clock.each * clock.times / clock.by * width for clock, width in widths.items())
        return max(ceil(endless), *needed)

    @cached_property
    def regions(self) -> dict[Vector, Length]:
        """What the workspace holds for all steps or places of a row side by side, and how many these are."""
        found: dict[Vector, Length] = {}
        for vector in self.net.vectors:
            if vector in self.every and vector.clock is not None:
                found[vector] = vector.clock
            own = vector.places is not None and vector in self.stored and vector.start is None
            if own and vector.places and not isinstance(vector.operation, Each):
                found[vector] = vector.places
        return found

    def is_paired(self, sweep: int) -> bool:
        """Whether a walk makes something for each place of a time step: it takes one time step at a time."""
        return any(vector.places for vector in self.net.vectors if vector.sweep == sweep)

    def _room(self) -> Room:
        lasting, operations = self.lasting(), [vector.operation for vector in self.net.vectors]
        sweeps = [
            [vector for vector in self.buffered(number) if vector not in lasting]
            for number in range(len(self.net.sweeps))
        ]
        used = [sum(scratch(each)) for each in operations if isinstance(each, Convolution)]
        return Room(self.net.states(), lasting, sweeps, used)

    def _groups(self) -> list[Group]:
        return [group for part in self.stages for stage in part for group in stage.groups]

    def _stored(self) -> set[Vector]:
        """Find what more than its own group reads."""
        inside = {known.vector for group in self._groups() for known in group.products}
        home = {vector: group for group in self._groups() for vector in group.vectors}
        found = {*(vector for vector, _ in self.saved), *self.kept, *self.every}
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
            and self.input_of(vector).free_axes in ((0,), (0, 1))
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
            and vector.places is None
            and vector.start is None
            and vector not in self.buffers.owners
            and not isinstance(vector.operation, State)
            and (self._is_loaded(vector) if isinstance(vector.operation, Input) else vector in self.stored)
        ]

    def _is_loaded(self, vector: Vector) -> bool:
        """Whether a walk puts a row of it in a buffer before all else; a leaf of the state it does not."""
        operation = vector.operation
        if isinstance(operation, Count | Found | Kept | Number | Taken):
            return True
        return isinstance(operation, Input) and operation.leaf in (*self.inputs, WORKSPACE)

    def lasting(self) -> list[Vector]:
        """List the vectors whose buffers later walks read, the states left out."""
        owners = (self.buffers.place(vector).owner for vector in self.kept)
        return [owner for owner in dict.fromkeys(owners) if not isinstance(owner.operation, State)]


def scratch(operation: Convolution) -> tuple[int, int]:
    """Give the floats that a convolution uses for the windows of some places, and for their sums."""
    places = min(PLACES, operation.window.count)
    return places * operation.depth, places * wide(operation.columns)
