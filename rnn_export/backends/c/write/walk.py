"""The function that runs some rows over all their time steps."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rnn_export.backends.c.plan.buffers import place_length
from rnn_export.backends.c.plan.plan import Plan
from rnn_export.backends.c.trace.elementwise import FLOAT
from rnn_export.backends.c.trace.graph import WORDS, Constant, Input, Operand, Vector, View
from rnn_export.backends.c.trace.net import Output
from rnn_export.backends.c.trace.results import in_front
from rnn_export.backends.c.write.context import Address, Context, length_text, times
from rnn_export.backends.c.write.emit import Emitter, indented
from rnn_export.backends.c.write.layout import (
    C_TYPES,
    Spread,
    leaf_pieces,
    overlaps,
    parameters,
    slot_address,
    units,
)
from rnn_export.backends.c.write.loads import Loads
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import TensorSpec

PLACES = "places"  # the axis of an output that has numbers for each place


@dataclass
class Walk:
    """Writes it; ``context`` gathers what its lines need."""

    plan: Plan
    context: Context

    def __post_init__(self) -> None:
        self.net, self.signature, self.names = self.plan.net, self.plan.signature, self.context.names
        self.leaves = [leaf.name for leaf in self.signature.state]
        self.parameters = parameters(self.signature)
        self.loads = Loads(self.plan, self.context, self.parameters)

    def lines(self) -> Iterator[str]:
        """Write it."""
        yield "INLINE void walk(const struct call *c, size_t row, const size_t rows, size_t steps)"
        yield "{"
        for clock in self.plan.clocks:
            steps = "steps" if clock.base == TIME else f"c->{clock.base}"
            yield f"    const size_t {self.context.steps(clock)} = {length_text(clock, steps)};"
        yield from indented(self.loads.regions())
        yield from indented(self._places())
        if self.plan.room.outside:
            yield "    /* Each row has a part of the workspace; a block's buffers stand in its rows'. */"
            begin = "(float *)(((uintptr_t)c->workspace + 63) & ~(uintptr_t)63)"
            yield f"    float *const buffers = {begin} + row * {self.plan.room.size};"
        for state in self.net.states():
            yield f"    {self._buffer(state, self.names[state], 2)}"
        if self._reads_last():
            yield "    size_t last = 0; /* the slot from which on the state stands in the end */"
        for vector in self.plan.lasting():
            yield f"    {self._buffer(vector, self.names[vector])}"
        given = [state for state in self.net.states() if not _begins_later(state)]
        yield from self._for_each_row("beginning", [self._initial(state) for state in given])
        for number, sweep in enumerate(self.net.sweeps):
            lines = self._sweep(number, reverse=bool(sweep.reverse))
            several = len(self.net.sweeps) > 1  # each has buffers of its own
            yield from indented(["{", *indented(lines), "}"] if several else lines)
        if self.signature.returns_state:
            finals = [self._final(number, final) for number, final in enumerate(self.net.finals)]
            yield from self._for_each_row("end", finals)
        yield "}"

    def _buffer(self, vector: Vector, name: str, times_slots: int = 1) -> str:
        """Declare a buffer: on the stack, or in the part of the workspace that the rows of a block have."""
        kind, row = vector.dtype, self.context.buffer_row(vector)
        if not self.plan.room.outside:
            slots = "SLOTS" if times_slots == 1 else f"{times_slots} * SLOTS"
            return f"ALIGNED {kind} {name}[{slots} * {row} + PAD];"
        offset = self.plan.room.offsets[vector]
        place = Address("buffers").plus(times("rows", offset) if offset else "")
        return f"{kind} *const {name} = {place if kind == FLOAT else f'({kind} *)({place})'};"

    def _places(self) -> Iterator[str]:
        """Say where in the workspace stands what there is for each place of a time step, of the first row."""
        context, regions = self.context, self.plan.regions
        if regions:
            yield f"float *room = {self.loads.left()}{self.loads.behind_regions()};"
        for number, (vector, length) in enumerate(regions.items()):
            name, kind = context.regions.get(vector, self.names[vector]), vector.dtype
            row = times(context.steps(length), place_length(vector))
            given = f"room + row * {row}"
            yield f"{kind} *const {name} = {given if kind == FLOAT else f'({kind} *)({given})'};"
            if number + 1 < len(regions):
                yield f"room += c->batch * {row};"

    def _for_each_row(self, when: str, parts: Sequence[Iterable[str]]) -> Iterator[str]:
        lines = [line for part in parts for line in part]
        if lines:
            yield f"    /* The state at the {when}. */"
            yield from indented(["for (size_t i = 0; i < rows; i++) {", *indented(lines), "}"])

    def _initial(self, state: Vector) -> Iterator[str]:
        """Let a row's state begin with what the call gives, or with constants."""
        at = 0
        for operand in state.operation.operands:
            target = self._row_of(state).plus(at)
            if isinstance(operand, Constant):
                numbers = self.context.constant(operand, state.dtype)
                yield f"memcpy({target}, {numbers}, {operand.size} * sizeof({state.dtype}));"
            elif not isinstance(operand.vector.operation, Input):
                yield from self.context.copy(target, self.context.pointer(operand, "i"), operand)
            else:
                for offset, source, count in self._given(operand, state):
                    place, size = target.plus(offset), self._size(state, count)
                    yield f"memcpy({place}, {source}, {size} * sizeof({state.dtype}));"
            at += operand.size

    def _row_of(self, state: Vector) -> Address:
        return Address(self.names[state]).plus(times("i", self.context.buffer_row(state)))

    def _size(self, vector: Vector, count: int) -> str:
        """Name a count of numbers, if it is all of a vector's."""
        return self.context.size(vector) if count == vector.size else str(count)

    def _given(self, view: View, state: Vector) -> Iterator[tuple[int, Address, int]]:
        """Find the numbers of a leaf that a view names: place in the view, address in the state, count."""
        if self.plan.is_inputs(view.vector):
            yield 0, self.loads.source(view.vector, str(view.vector.size)).plus(view.offset), view.count()
            return
        number = self.leaves.index(leaf_of(view.vector))
        width, at = WORDS[view.vector.dtype], 0
        for part in [view] if view.step else [View(view.vector, view.offset, 1)] * view.size:
            for piece in leaf_pieces(self.signature, number):
                first = max(part.offset, piece.offset)
                end = min(part.offset + part.size, piece.offset + piece.size)
                if first < end:
                    size = self._size(state, piece.size)
                    source = piece.address("c->state_in", width, size, first - piece.offset)
                    yield at + first - part.offset, source, end - first
            at += part.size

    def _final(self, number: int, final: list[Operand]) -> Iterator[str]:
        """Write a leaf of the state after the last time step."""
        dtype = C_TYPES[self.signature.state[number].dtype]
        width = WORDS[dtype]
        for piece in leaf_pieces(self.signature, number):
            for operand, first, at, count in overlaps(final, piece):
                if isinstance(operand, Constant):
                    target = piece.address("c->state_out", width, str(piece.size), at)
                    some = Constant(operand.values[first : first + count])
                    numbers = self.context.constant(some, dtype)
                    yield f"memcpy({target}, {numbers}, {count} * sizeof({dtype}));"
                    continue
                size = self._size(operand.vector, piece.size)
                parts = [(first, at, count)] if operand.step else [(0, at + k, 1) for k in range(count)]
                for begin, place, some_count in parts:
                    target = piece.address("c->state_out", width, size, place)
                    source, room = (
                        self._final_source(operand, begin, some_count),
                        self._size(operand.vector, some_count),
                    )
                    yield f"memmove({target}, {source}, {room} * sizeof({dtype}));"

    def _final_source(self, view: View, begin: int, count: int) -> Address:
        """Say where numbers of a final state are; a leaf that is handed on may be its own target."""
        if isinstance(view.vector.operation, Input):
            part = View(view.vector, view.offset + begin, count)
            [(_, address, _)] = self._given(part, view.vector)
            return address
        slot = "last + i" if self._stays() else "i"
        row = times(slot, self.context.buffer_row(view.vector))
        return Address(self.names[view.vector]).plus(row, view.offset + begin)

    def _sweep(self, number: int, *, reverse: bool) -> Iterator[str]:
        """Write one walk over the time steps, a block of them at a time."""
        context = self.context
        body = [line for stage in self.plan.stages[number] for line in Emitter(context).stage(stage)]
        buffered, lasting = self.plan.buffered(number), self.plan.lasting()
        steps = context.steps(self.net.sweeps[number].clock)
        later = [state for state in self.net.states(number) if _begins_later(state)]
        if later:
            yield "for (size_t i = 0; i < rows; i++) {"
            yield from indented(line for state in later for line in self._initial(state))
            yield "}"
        for vector in buffered:
            if vector in lasting:
                continue
            name = f"{self.names[vector]}_copy" if vector in self.plan.buffers.direct else self.names[vector]
            yield self._buffer(vector, name)
        if self.plan.is_paired(number):
            yield "const size_t most = 1; /* time steps of a block */"
        elif self.plan.room.outside:
            yield "const size_t fit = SLOTS / rows;"
            yield "const size_t most = fit < FEW_SLOTS ? fit : FEW_SLOTS; /* time steps of a block */"
        else:
            yield "const size_t most = (rows <= FEW ? FEW_SLOTS : SLOTS) / rows; /* time steps of a block */"
        yield f"for (size_t begin = 0, count; begin < {steps}; begin += count) {{"
        yield f"    count = SLOTS == 1 || {steps} - begin > most ? most : {steps} - begin;"
        yield "    const size_t slots = count * rows;"
        yield from indented(self._every_slot(self.loads.lines(buffered), reverse, steps))
        for vector in buffered:
            if vector in self.plan.buffers.direct:
                yield from indented(self._inputs(vector))
        yield from indented(body)
        yield from indented(self._every_slot(self._stores(number), reverse, steps))
        rest = [*self._last(number, steps), *self._hand_on(self.net.states(number), steps)]
        yield from indented(rest)
        if not (body or buffered) or not any(re.search(r"\bslots\b", line) for line in [*body, *rest]):
            yield "    (void)slots;"
        yield "}"

    def _stays(self) -> bool:
        """Whether the state at the end is read where the last block left it: no later walk reads it."""
        return len(self.net.sweeps) == 1

    def _reads_last(self) -> bool:
        """Whether a call gives numbers of the state as the last block left it."""
        finals = (operand for final in self.net.finals for operand in final if isinstance(operand, View))
        left = any(not isinstance(operand.vector.operation, Input) for operand in finals)
        return self._stays() and self.signature.returns_state and left

    def _hand_on(self, states: list[Vector], steps: str) -> Iterator[str]:
        """Let the next block begin with the state that this one ends with."""
        if self._reads_last():
            yield "last = slots;"
        if states and self._stays():
            yield f"if (begin + count == {steps}) break;"
        if states:
            yield "/* The next block begins with the last state of this one. */"
        for state in states:
            name, row = self.names[state], self.context.buffer_row(state)
            if state.dtype == FLOAT:
                self.context.kernels.add("hand_on")
                yield f"hand_on({name}, {name} + slots * {row}, rows * {row});"
            else:
                yield f"memmove({name}, {name} + slots * {row}, rows * {row} * sizeof *{name});"

    def _every_slot(self, lines: list[str], reverse: bool, steps: str = "steps") -> Iterator[str]:
        if not lines:
            return
        time = f"{steps} - 1 - begin - s" if reverse else "begin + s"
        yield "for (size_t s = 0; s < count; s++)"
        yield "    for (size_t i = 0; i < rows; i++) {"
        place = f"t = {time}, " if any(re.search(r"\bt\b", line) for line in lines) else ""
        yield f"        const size_t {place}slot = s * rows + i;"
        yield from indented(lines, 2)
        yield "    }"

    def _inputs(self, vector: Vector) -> Iterator[str]:
        """Read the inputs where the caller has them, if rows stand evenly spaced there; else copy them."""
        name, row, spec = self.names[vector], self.context.row(vector), self.plan.input_of(vector)
        size, even, in_front = self.context.size(vector), f"{name}_evenly", self.plan.evenly(vector)
        begin = slot_address(f"c->{self.parameters[spec.name]}", spec, "begin", "row", size)
        step = f"rows == 1 ? {times('c->batch', size if vector.size > 1 else 1)} : {size}"
        yield "/* Rows that stand evenly spaced are read where the caller has them, others are copied. */"
        yield f"const int {even} = rows == 1{' || rows == c->batch' if in_front else ''};"
        yield f"const {vector.dtype} *{name} = {even} ? {begin} : {name}_copy;"
        buffer = self.context.buffer_row(vector)
        yield f"const size_t {row} = !{even} ? {buffer} : {step if in_front else size};"
        yield f"if (!{even})"
        target = Address(f"{name}_copy").plus(f"slot * {buffer}")
        yield from indented(self._every_slot([*self.loads.copied(target, vector)], reverse=False))

    def _stores(self, number: int) -> list[str]:
        found = self._outputs(number, "t")
        for vector, offset in self.plan.saved:
            if vector.sweep == number:
                source, size = self.context.all_of(vector, "slot"), self.context.size(vector)
                assert vector.clock is not None
                place = self.loads.kept(offset, vector.clock)
                found.append(f"memcpy({place}, {source}, {size} * sizeof({vector.dtype}));")
        for vector, length in self.plan.regions.items():
            if vector.sweep == number and vector.places is None:
                source, size = self.context.all_of(vector, "slot"), self.context.size(vector)
                at = times(f"i * {self.context.steps(length)} + t", place_length(vector))
                place = Address(self.context.regions[vector]).plus(at)
                found.append(f"memcpy({place}, {source}, {size} * sizeof({vector.dtype}));")
        return found

    def _last(self, number: int, steps: str) -> Iterator[str]:
        lines = self._outputs(number, "")
        if lines:
            yield f"if (begin + count == {steps})"
            yield "    for (size_t i = 0; i < rows; i++) {"
            yield "        const size_t slot = slots - rows + i;"
            yield from indented(lines, 2)
            yield "    }"

    def _outputs(self, number: int, time: str) -> list[str]:
        """Write what a sweep makes of the outputs: those of a time step, or without one the last ones."""
        found = list[str]()
        for output, spec in zip(self.net.outputs, self.signature.outputs, strict=True):
            if (output.clock is None) == bool(time):
                continue
            array, counts = f"c->{self.parameters[spec.name]}", self.loads.counts()
            if output.inner is not None:
                found += self._output_of_places(output, spec, number, time)
                continue
            if not in_front(spec):
                [operand] = output.operands
                if isinstance(operand, View) and operand.vector.sweep == number:
                    places = {BATCH: "(row + i)"} | dict.fromkeys(
                        [size for size in counts if size != BATCH], time
                    )
                    spread = Spread.of(array, spec, places, counts)
                    found += spread.copied(self.context.pointer(operand, "slot"), spec.dtype, out=True)
                continue
            dtype, at, size = C_TYPES[spec.dtype], 0, self.context.outputs_size(spec, units(spec))
            begin = slot_address(array, spec, time, "row + i", size, counts)
            for operand in output.operands:
                target = begin.plus(at)
                if isinstance(operand, View) and operand.vector.sweep == number:
                    found += self.context.copy(target, self.context.pointer(operand, "slot"), operand)
                elif isinstance(operand, Constant) and number == 0:
                    source = self.context.constant(operand, dtype)
                    found.append(f"memcpy({target}, {source}, {operand.size} * sizeof({dtype}));")
                at += operand.size
        return found

    def _output_of_places(self, output: Output, spec: TensorSpec, number: int, time: str) -> Iterator[str]:
        """Write an output that has numbers for each place, at a time step or at the last one."""
        [view] = output.operands
        assert isinstance(view, View)
        assert view.vector.places is not None
        if view.vector.sweep != number:
            return
        names = [str(axis) if axis != output.inner else PLACES for axis in range(len(spec.shape))]
        counts = self.loads.counts()
        shape = tuple(size if isinstance(size, int) else names[axis] for axis, size in enumerate(spec.shape))
        free = {names[axis]: counts[str(spec.shape[axis])] for axis in spec.free_axes}
        at = {names[axis]: "(row + i)" if spec.shape[axis] == BATCH else time for axis in spec.free_axes}
        places = TensorSpec(spec.name, spec.dtype, shape)
        spread = Spread.of(f"c->{self.parameters[spec.name]}", places, at | {PLACES: "p"}, free)
        source = self.context.pointer(view, "slot").plus(times("p", self.context.place_row(view.vector)))
        yield f"for (size_t p = 0; p < {self.context.steps(view.vector.places)}; p++) {{"
        yield from indented(spread.copied(source, spec.dtype, out=True))
        yield "}"


def _begins_later(state: Vector) -> bool:
    """Whether a state begins with what an earlier walk over time made."""
    return any(not isinstance(view.vector.operation, Input) for view in state.operation.views())


def leaf_of(vector: Vector) -> str:
    """Give the leaf of the call that a vector is."""
    assert isinstance(vector.operation, Input)
    return vector.operation.leaf
