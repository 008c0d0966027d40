"""The function that runs some rows over all their time steps."""

from collections.abc import Iterator
from dataclasses import dataclass

from rnn_export.backends.c.plan.buffers import PAD, row_length
from rnn_export.backends.c.write.layout import C_TYPES, leaf_pieces, overlaps, slot_address
from rnn_export.backends.c.plan.plan import BYTES, WORKSPACE, Plan
from rnn_export.backends.c.trace.graph import WORDS, Constant, Input, Operand, Vector, View
from rnn_export.backends.c.write.emit import Emitter, copy
from rnn_export.backends.c.write.tiles import Context


@dataclass
class Walk:
    """Writes it; ``context`` gathers what its lines need."""

    plan: Plan
    context: Context

    def __post_init__(self) -> None:
        self.net, self.signature = self.plan.net, self.plan.signature
        self.names, self.weights = self.context.names, self.context.weights

    def lines(self) -> Iterator[str]:
        """Write it."""
        yield "INLINE void walk(const struct call *c, size_t row, const size_t rows, size_t steps)"
        yield "{"
        for state in self.net.states():
            size = f"2 * SLOTS * {row_length(state.size)} + {PAD}"
            yield f"    ALIGNED {state.dtype} {self.names[state]}[{size}];"
        for state in self.net.states():
            yield from _indented(self._initial(state), 1)
        for number, walk in enumerate(self.net.sweeps):
            yield from self._pass(number, walk.reverse)
        if self.signature.returns_state:
            for number, final in enumerate(self.net.finals):
                yield from _indented(self._final(number, final), 1)
        yield "}"

    def _initial(self, state: Vector) -> Iterator[str]:
        yield "for (size_t i = 0; i < rows; i++) {"
        at = 0
        for view in state.operation.operands:
            target = f"{self.names[state]} + i * {row_length(state.size)} + {at}"
            if isinstance(view, Constant):
                source = self.weights.numbers(view.values, state.dtype)
                yield f"    memcpy({target}, {source}, {view.values.size} * sizeof({state.dtype}));"
                at += view.values.size
                continue
            number = [leaf.name for leaf in self.signature.state].index(leaf_of(view.vector))
            for offset, address, size in self._spans(number, view):
                width = WORDS[state.dtype] * 4
                yield f"    memcpy({target} + {offset}, c->state_in + {address}, {size * width});"
            at += view.size
        yield "}"

    def _spans(self, number: int, view: View) -> Iterator[tuple[int, str, int]]:
        """Find the numbers of a leaf that a view names: place in the view, address in the state, count."""
        single = [view] if view.step else [View(view.vector, view.offset, 1)] * view.size
        width = WORDS[view.vector.dtype]
        at = 0
        for part in single:
            for piece in leaf_pieces(self.signature, number, "(row + i)"):
                first = max(part.offset, piece.offset)
                last = min(part.offset + part.size, piece.offset + piece.size)
                if first < last:
                    yield (
                        at + first - part.offset,
                        f"{piece.address} + {(first - piece.offset) * width}",
                        last - first,
                    )
            at += part.size

    def _final(self, number: int, final: list[Operand]) -> Iterator[str]:
        yield "for (size_t i = 0; i < rows; i++) {"
        dtype = C_TYPES[self.signature.state[number].dtype]
        width = WORDS[dtype]
        for piece in leaf_pieces(self.signature, number, "(row + i)"):
            for view, first, at, count in overlaps(final, piece):
                target = f"c->state_out + {piece.address} + {at * width}"
                if isinstance(view, Constant):
                    source = self.weights.numbers(view.values[first : first + count], dtype)
                    yield f"    memcpy({target}, {source}, {count * width * 4});"
                    continue
                step = 1 if view.step else 0
                parts = [(first, at, count)] if step else [(0, at + k, 1) for k in range(count)]
                for begin, place, size in parts:
                    target = f"c->state_out + {piece.address} + {place * width}"
                    source = self._final_source(view, begin, size)
                    yield f"    memmove({target}, {source}, {size * width * 4});"
        yield "}"

    def _final_source(self, view: View, begin: int, size: int) -> str:
        if isinstance(view.vector.operation, Input):
            number = [leaf.name for leaf in self.signature.state].index(leaf_of(view.vector))
            [(_, address, _)] = self._spans(number, View(view.vector, view.offset + begin, size))
            return f"c->state_in + {address}"
        return f"{self.names[view.vector]} + i * {row_length(view.vector.size)} + {view.offset + begin}"

    def _pass(self, number: int, reverse: bool) -> Iterator[str]:
        body = [line for stage in self.plan.stages[number] for line in Emitter(self.context).stage(stage)]
        yield "    {"
        for op in self.plan.buffered(number):
            name = f"{self.names[op]}_copy" if op in self.plan.buffers.direct else self.names[op]
            yield f"        ALIGNED {op.dtype} {name}[SLOTS * {row_length(op.size)} + {PAD}];"
        yield "        const size_t most = (rows <= FEW ? 8 : SLOTS) / rows;"
        yield "        for (size_t begin = 0, count; begin < steps; begin += count) {"
        yield "            count = steps - begin < most ? steps - begin : most;"
        yield "            const size_t slots = count * rows;"
        yield from _indented(self._slot_loop(self._loads(number), reverse), 3)
        for op in self.plan.buffered(number):
            if op in self.plan.buffers.direct:
                yield from _indented(self._inputs(op), 3)
        yield from _indented(iter(body), 3)
        yield from _indented(self._slot_loop(self._stores(number), reverse), 3)
        if self.net.last:
            yield from _indented(self._last(number), 3)
        for state in self.net.states(number):
            name, row = self.names[state], row_length(state.size)
            yield f"            memmove({name}, {name} + slots * {row}, rows * {row} * sizeof *{name});"
        if not body and not self.plan.buffered(number):
            yield "            (void)slots;"
        yield "        }"
        yield "    }"

    def _slot_loop(self, lines: list[str], reverse: bool) -> Iterator[str]:
        if not lines:
            return
        time = "steps - 1 - begin - s" if reverse else "begin + s"
        yield "for (size_t s = 0; s < count; s++)"
        yield "    for (size_t i = 0; i < rows; i++) {"
        yield f"        const size_t t = {time}, slot = s * rows + i;"
        yield from _indented(iter(lines), 2)
        yield "    }"

    def _inputs(self, op: Vector) -> Iterator[str]:
        """Read the inputs where the caller has them, if rows stand evenly spaced there; else copy them."""
        name, row, spec = self.names[op], self.context.row(op), self.signature.inputs
        evenly, apart = "rows == 1", str(op.size)
        if self.plan.evenly:
            evenly, apart = (
                "(rows == 1 || rows == c->batch)",
                f"(rows == 1 ? c->batch * {op.size} : {op.size})",
            )
        yield f"const int evenly = {evenly};"
        where = slot_address(spec, "begin", "row")
        yield f"const {op.dtype} *{name} = evenly ? c->inputs + {where} : {name}_copy;"
        yield f"const size_t {row} = evenly ? {apart} : {row_length(op.size)};"
        yield "if (!evenly)"
        target = f"{name}_copy + slot * {row_length(op.size)}"
        source = f"c->inputs + {slot_address(spec, 't', '(row + i)')}"
        copied = [f"memcpy({target}, {source}, {op.size * BYTES[op.dtype]});"]
        yield from _indented(self._slot_loop(copied, reverse=False), 1)

    def _loads(self, number: int) -> list[str]:
        found = []
        for op in self.plan.buffered(number):
            if not isinstance(op.operation, Input) or op in self.plan.buffers.direct:
                continue
            source = f"c->inputs + {slot_address(self.signature.inputs, 't', '(row + i)')}"
            if op.operation.leaf == WORKSPACE:
                slot = f"(t * c->batch + row + i) * {self.plan.workspace}"
                source = f"c->workspace + {slot} + {op.operation.offset}"
            target = f"{self.names[op]} + slot * {row_length(op.size)}"
            found.append(f"memcpy({target}, {source}, {op.size * BYTES[op.dtype]});")
        return found

    def _stores(self, number: int) -> list[str]:
        found = []
        if not self.net.last:
            found += self._output_lines(
                number, "slot", slot_address(self.signature.outputs, "t", "(row + i)")
            )
        for op, offset in self.plan.saved:
            if op.sweep == number:
                source = self.context.pointer(View(op, 0, op.size), "slot")
                target = f"c->workspace + (t * c->batch + row + i) * {self.plan.workspace} + {offset}"
                found.append(f"memcpy({target}, {source}, {op.size * 4});")
        return found

    def _last(self, number: int) -> Iterator[str]:
        address = slot_address(self.signature.outputs, "", "(row + i)")
        lines = self._output_lines(number, "slot", address)
        if lines:
            yield "if (begin + count == steps)"
            yield "    for (size_t i = 0; i < rows; i++) {"
            yield "        const size_t slot = slots - rows + i;"
            yield from _indented(iter(lines), 2)
            yield "    }"

    def _output_lines(self, number: int, slot: str, address: str) -> list[str]:
        found, at = [], 0
        dtype = C_TYPES[self.signature.outputs.dtype]
        for view in self.net.outputs:
            target = f"c->outputs + {address}" + (f" + {at}" if at else "")
            if isinstance(view, Constant):
                if number == 0:
                    source = self.weights.numbers(view.values, dtype)
                    found.append(f"memcpy({target}, {source}, {view.values.size * BYTES[dtype]});")
                at += view.values.size
                continue
            if view.vector.sweep == number:
                found += copy(target, self.context.pointer(view, slot), view)
            at += view.size
        return found


def _indented(lines: Iterator[str], depth: int) -> Iterator[str]:
    return (f"{'    ' * depth}{line}" for line in lines)


def leaf_of(vector: Vector) -> str:
    """Give the leaf of the call that a vector is."""
    assert isinstance(vector.operation, Input)
    return vector.operation.leaf
