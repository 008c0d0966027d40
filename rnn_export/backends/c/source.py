"""``model.c``: the weights, the kernels that the net needs, and the walk over time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files

from rnn_export.backends.c.emit import PAD, Buffers, Emitter, copy, wide
from rnn_export.backends.c.graph import BOOL, FLOAT, INPUT, INT, STATE, WORDS, Constant, Net, Op, View
from rnn_export.backends.c.layout import C_TYPES, leaf_pieces, overlaps, slot_address
from rnn_export.backends.c.pack import Weights
from rnn_export.backends.c.schedule import ALONE, stages
from rnn_export.signature import Signature

SLOTS = 64  # rows times time steps that are computed together, at the most
STACK = 192 << 10  # bytes of the buffers of a pass, about
BYTES = {FLOAT: 4, INT: 8, BOOL: 4}
SHORT = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Affine": "a"}


@dataclass
class Source:
    """A net as C; ``slots`` and ``workspace`` are sizes that the header tells as well."""

    net: Net
    signature: Signature
    weights: Weights = field(default_factory=Weights)
    kernels: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)
    workspace: int = 0
    slots: int = SLOTS

    def __post_init__(self) -> None:
        self._carry()
        self.names = {op: self._name(op, number) for number, op in enumerate(self.net.ops)}
        self.buffers = Buffers(self.net, self.names)
        self.stages = [stages(self.net, number) for number in range(len(self.net.passes))]
        self.stored = self._stored()
        self.slots = self._slots()
        self.lines = list(self._rows())

    def _name(self, op: Op, number: int) -> str:
        if op.kind == INPUT:
            return (
                f"inputs_{number}"
                if op.attributes["leaf"] == self.signature.inputs.name
                else f"kept_{number}"
            )
        return f"{SHORT.get(op.kind, op.kind.lower())}_{number}"

    def _carry(self) -> None:
        """Let a pass read what an earlier one made, out of the workspace."""
        self.saved: list[tuple[Op, int]] = []
        loaded: dict[tuple[Op, int], Op] = {}
        offsets: dict[Op, int] = {}
        for op in list(self.net.ops):
            if op.kind in (STATE, INPUT):
                continue

            def move(view: View | Constant | None, number: int = op.pass_number) -> View | Constant | None:
                if not isinstance(view, View) or view.op.pass_number == number:
                    return view
                if view.op.kind == INPUT:
                    attributes = dict(view.op.attributes)
                else:
                    if view.op not in offsets:
                        offsets[view.op] = self.workspace
                        self.saved.append((view.op, self.workspace))
                        self.workspace += view.op.size
                    attributes = {"leaf": "workspace", "offset": offsets[view.op]}
                key = view.op, number
                if key not in loaded:
                    source = Op(INPUT, view.op.size, view.op.dtype, attributes=attributes, pass_number=number)
                    loaded[key] = source
                    self.net.ops.insert(0, source)
                return View(loaded[key], view.offset, view.size, view.step)

            op.operands = [move(view) for view in op.operands]  # type: ignore[misc]
            op.places = [move(view) for view in op.places]  # type: ignore[misc]
            op.start = move(op.start)  # type: ignore[assignment]

    def _stored(self) -> set[Op]:
        """Find what more than its own loop reads."""
        home = {
            op: (id(group))
            for part in self.stages
            for stage in part
            for group in stage.groups
            for op in group.ops
        }
        found = {op for op, _ in self.saved} | {op for op in self.net.ops if op.kind in ALONE}
        for op, uses in self.net.uses().items():
            for user, view in uses:
                outside = user is None or home.get(user) != home.get(op)
                if outside or (user is not None and user.kind in ALONE) or view.size != op.size:
                    found.add(op)
        found |= {state.following.op for state in self.net.states() if state.following}
        return found

    def _buffered(self, number: int) -> list[Op]:
        """List what has a buffer in a pass, the states left out."""
        return [
            op
            for op in self.net.ops
            if op.pass_number == number
            and op.start is None
            and op not in self.buffers.owners
            and (op in self.stored if op.kind != INPUT else self._is_sequence(op))
            and op.kind != STATE
        ]

    def _is_sequence(self, op: Op) -> bool:
        return op.attributes["leaf"] in (self.signature.inputs.name, "workspace")

    def _slots(self) -> int:
        sizes = [
            sum(wide(op.size) * BYTES[op.dtype] for op in self._buffered(number))
            for number in range(len(self.net.passes))
        ]
        states = sum(2 * wide(op.size) * BYTES[op.dtype] for op in self.net.states())
        most = STACK // max(1, max(sizes) + states)
        return max(1, min(SLOTS, most - most % 4 if most >= 4 else most))

    def stack(self) -> int:
        """Give the bytes of all buffers."""
        sizes = [
            sum(self.slots * wide(op.size) * BYTES[op.dtype] for op in self._buffered(number))
            for number in range(len(self.net.passes))
        ]
        return max(sizes) + sum(2 * self.slots * wide(op.size) * BYTES[op.dtype] for op in self.net.states())

    def _rows(self) -> Iterator[str]:
        """Write the function that runs some rows over all their time steps."""
        yield "TARGET static void run_rows(const struct call *c, size_t row, size_t rows, size_t steps)"
        yield "{"
        for state in self.net.states():
            yield f"    ALIGNED {state.dtype} {self.names[state]}[2 * SLOTS * {wide(state.size)} + {PAD}];"
        for state in self.net.states():
            yield from _indented(self._initial(state), 1)
        for number, walk in enumerate(self.net.passes):
            yield from self._pass(number, walk.reverse)
        if self.signature.returns_state:
            for number, final in enumerate(self.net.finals):
                yield from _indented(self._final(number, final), 1)
        yield "}"

    def _initial(self, state: Op) -> Iterator[str]:
        yield "for (size_t i = 0; i < rows; i++) {"
        at = 0
        for view in state.places:
            target = f"{self.names[state]} + i * {wide(state.size)} + {at}"
            if isinstance(view, Constant):
                source = self.weights.numbers(view.values, state.dtype)
                yield f"    memcpy({target}, {source}, {view.values.size} * sizeof({state.dtype}));"
                at += view.values.size
                continue
            number = [leaf.name for leaf in self.signature.state].index(view.op.attributes["leaf"])
            for offset, address, size in self._spans(number, view):
                width = WORDS[state.dtype] * 4
                yield f"    memcpy({target} + {offset}, c->state_in + {address}, {size * width});"
            at += view.size
        yield "}"

    def _spans(self, number: int, view: View) -> Iterator[tuple[int, str, int]]:
        """Find the numbers of a leaf that a view names: place in the view, address in the state, count."""
        single = [view] if view.step else [View(view.op, view.offset, 1)] * view.size
        width = WORDS[view.op.dtype]
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

    def _final(self, number: int, final: list[View | Constant]) -> Iterator[str]:
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
        if view.op.kind == INPUT:
            number = [leaf.name for leaf in self.signature.state].index(view.op.attributes["leaf"])
            [(_, address, _)] = self._spans(number, View(view.op, view.offset + begin, size))
            return f"c->state_in + {address}"
        return f"{self.names[view.op]} + i * {wide(view.op.size)} + {view.offset + begin}"

    def _pass(self, number: int, reverse: bool) -> Iterator[str]:
        emitter = Emitter(self.buffers, self.weights, self.stored)
        body = [line for stage in self.stages[number] for line in emitter.stage(stage)]
        self.kernels |= emitter.kernels
        yield "    {"
        for op in self._buffered(number):
            yield f"        ALIGNED {op.dtype} {self.names[op]}[SLOTS * {wide(op.size)} + {PAD}];"
        yield "        const size_t most = SLOTS / rows;"
        yield "        for (size_t begin = 0, count; begin < steps; begin += count) {"
        yield "            count = steps - begin < most ? steps - begin : most;"
        yield "            const size_t slots = count * rows;"
        yield from _indented(self._slot_loop(self._loads(number), reverse), 3)
        yield from _indented(iter(body), 3)
        yield from _indented(self._slot_loop(self._stores(number), reverse), 3)
        if self.net.last:
            yield from _indented(self._last(number), 3)
        for state in self.net.states(number):
            name, row = self.names[state], wide(state.size)
            yield f"            memmove({name}, {name} + slots * {row}, rows * {row} * sizeof *{name});"
        if not body and not self._buffered(number):
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

    def _loads(self, number: int) -> list[str]:
        found = []
        for op in self._buffered(number):
            if op.kind != INPUT:
                continue
            source = f"c->inputs + {slot_address(self.signature.inputs, 't', '(row + i)')}"
            if op.attributes["leaf"] == "workspace":
                source = (
                    f"c->workspace + (t * c->batch + row + i) * {self.workspace} + {op.attributes['offset']}"
                )
            found.append(
                f"memcpy({self.names[op]} + slot * {wide(op.size)}, {source}, {op.size * BYTES[op.dtype]});"
            )
        return found

    def _stores(self, number: int) -> list[str]:
        found = []
        if not self.net.last:
            found += self._output_lines(
                number, "slot", slot_address(self.signature.outputs, "t", "(row + i)")
            )
        for op, offset in self.saved:
            if op.pass_number == number:
                source = self.buffers.pointer(View(op, 0, op.size), "slot")
                target = f"c->workspace + (t * c->batch + row + i) * {self.workspace} + {offset}"
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
            if view.op.pass_number == number:
                found += copy(target, self.buffers.pointer(view, slot), view)
            at += view.size
        return found


def kernel_text(needed: set[str]) -> list[str]:
    """Give the kernels that are needed, with those that they need."""
    text = (files("rnn_export.backends.c") / "kernels.c").read_text()
    first, *sections = re.split(r"^//! (.*)\n", text, flags=re.MULTILINE)
    named = dict(zip([head.split()[0] for head in sections[::2]], sections[1::2], strict=True))
    more = {head.split()[0]: head.split()[1:] for head in sections[::2]}
    wanted = set(needed)
    while missing := {other for name in wanted for other in more[name]} - wanted:
        wanted |= missing
    return [first.strip(), *(body.strip() for name, body in named.items() if name in wanted)]


def _indented(lines: Iterator[str], depth: int) -> Iterator[str]:
    return (f"{'    ' * depth}{line}" for line in lines)
