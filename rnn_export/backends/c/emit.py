"""The stages of a pass as C."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c import functions
from rnn_export.backends.c.graph import (
    AFFINE,
    BOOL,
    FLOAT,
    GATHER,
    LOOKUP,
    PRODUCT,
    REDUCE,
    Constant,
    Net,
    Op,
    View,
)
from rnn_export.backends.c.pack import Weights, panel_width
from rnn_export.backends.c.schedule import Group, Stage

WIDTH = 16  # numbers; rows of vectors are a multiple of it
PAD = 16  # numbers behind a buffer, which the last vector of a row may read


def wide(size: int) -> int:
    """Round a row up to whole vectors."""
    return -(-size // WIDTH) * WIDTH


@dataclass
class Buffers:
    """Where the vectors of a pass stand: a buffer each, but for what lives in one loop only."""

    net: Net
    names: dict[Op, str]
    owners: dict[Op, Op] = field(default_factory=dict)  # from what a state becomes to the state

    def __post_init__(self) -> None:
        for state in self.net.states():
            assert state.following
            self.owners[state.following.op] = state

    def place(self, op: Op) -> tuple[str, int, int, int]:
        """Give an operation's buffer, the length of a row, the place in it, and the steps it lies ahead."""
        if op.start is not None:
            name, row, offset, ahead = self.place(op.start.op)
            return name, row, offset + op.start.offset, ahead
        if op in self.owners:
            state = self.owners[op]
            return self.names[state], wide(state.size), 0, 1
        return self.names[op], wide(op.size), 0, 0

    def pointer(self, view: View, slot: str) -> str:
        """Write the address of a row's numbers."""
        name, row, offset, ahead = self.place(view.op)
        at = f"({slot} + rows)" if ahead else slot if slot.isidentifier() else f"({slot})"
        text = name if slot == "0" and not ahead else f"{name} + {at} * {row}"
        return text + (f" + {offset + view.offset}" if offset + view.offset else "")


@dataclass
class Emitter:
    """Writes the groups of a pass, and remembers what they need."""

    buffers: Buffers
    weights: Weights
    stored: set[Op]  # what more than its own loop reads
    kernels: set[str] = field(default_factory=set)

    def stage(self, stage: Stage) -> Iterator[str]:
        """Write a stage: for all slots at once, or step by step."""
        if stage.loop:
            yield "for (size_t at = 0; at < slots; at += rows) {"
            for group in stage.groups:
                yield from _indented(self.group(group, "at", "rows"))
            yield "}"
            return
        for group in stage.groups:
            yield from self.group(group, "0", "slots")

    def group(self, group: Group, first: str, count: str) -> Iterator[str]:
        """Write a group for some slots."""
        op = group.ops[0]
        if op.kind == AFFINE:
            yield from self._affine(op, first, count)
            return
        slot = "i" if first == "0" else f"{first} + i"
        yield f"for (size_t i = 0; i < {count}; i++) {{"
        writers = {GATHER: self._gather, LOOKUP: self._lookup, PRODUCT: self._product, REDUCE: self._reduce}
        if op.kind in writers:
            yield from _indented(writers[op.kind](op, slot))
        elif group.whole:
            yield from _indented(self._singles(group, slot))
        else:
            yield from _indented(self._vectors(group, slot))
        yield "}"

    def _affine(self, op: Op, first: str, count: str) -> Iterator[str]:
        self.kernels.add("affine")
        _, row, _, _ = self.buffers.place(op)
        own = self.buffers.pointer(View(op, 0, op.size), first)
        yield f"/* {self._equation(op)} */"
        parts = list(zip(op.operands, op.matrices, strict=True))
        if op.start is None:
            bias = np.zeros(op.size, np.float32) if op.bias is None else op.bias
            begin = self.weights.vector(bias, "b")
        else:
            begin = "NULL"
        for view, matrix in parts:
            assert isinstance(view, View)
            sums = partial_sums(op.size)
            packed = self.weights.matrix(matrix, "W")
            source = self.buffers.pointer(view, first)
            _, x_row, _, _ = self.buffers.place(view.op)
            yield (
                f"affine({sums}, {panel_width(view.size)}, {count}, {view.size}, {wide(op.size)}, "
                f"{source}, {x_row}, {packed}, {begin}, {own}, {row});"
            )
            begin = "NULL"

    def _equation(self, op: Op) -> str:
        names = [self.buffers.place(view.op)[0] for view in op.operands if isinstance(view, View)]
        start = "+=" if op.start else "="
        note = f": {op.note}" if op.note else ""
        return f"{self.buffers.place(op)[0]} {start} {' + '.join(names)} W" + note.replace("*/", "* /")

    def _gather(self, op: Op, slot: str) -> Iterator[str]:
        yield f"{op.dtype} *y = {self.buffers.pointer(View(op, 0, op.size), slot)};"
        at = 0
        for piece in op.places:
            size = piece.values.size if isinstance(piece, Constant) else piece.size
            if isinstance(piece, Constant):
                source = self.weights.numbers(piece.values, op.dtype)
                yield f"memcpy(y + {at}, {source}, {size} * sizeof *y);"
            else:
                yield from copy(f"y + {at}", self.buffers.pointer(piece, slot), piece)
            at += size

    def _lookup(self, op: Op, slot: str) -> Iterator[str]:
        [index] = op.operands
        assert isinstance(index, View)
        table = op.matrices[0]
        padded = np.zeros((len(table) + 1, wide(op.size)), np.float32)
        padded[:-1, : op.size] = table
        name = self.weights.vector(padded.ravel(), "table")
        yield f"const int64_t index = *({self.buffers.pointer(index, slot)});"
        yield f"const int64_t known = index >= 0 && index < {len(table)} ? index : {len(table)};"
        yield (
            f"memcpy({self.buffers.pointer(View(op, 0, op.size), slot)}, {name} + known * {wide(op.size)}, "
            f"{op.size} * sizeof(float)); /* {op.note} */"
        )

    def _product(self, op: Op, slot: str) -> Iterator[str]:
        left, right = op.operands
        assert isinstance(left, View)
        assert isinstance(right, View)
        sizes = op.attributes
        yield f"const float *a = {self.buffers.pointer(left, slot)};"
        yield f"const float *b = {self.buffers.pointer(right, slot)};"
        yield f"float *y = {self.buffers.pointer(View(op, 0, op.size), slot)};"
        yield f"for (int m = 0; m < {sizes['rows']}; m++)"
        yield f"    for (int n = 0; n < {sizes['columns']}; n++) {{"
        yield "        float sum = 0.0f;"
        yield f"        for (int k = 0; k < {sizes['inner']}; k++)"
        yield f"            sum += a[m * {sizes['inner']} + k] * b[k * {sizes['columns']} + n];"
        yield f"        y[m * {sizes['columns']} + n] = sum;"
        yield "    }"

    def _reduce(self, op: Op, slot: str) -> Iterator[str]:
        [operand] = op.operands
        assert isinstance(operand, View)
        count, how = op.attributes["n"], op.attributes["how"]
        step = {
            "max": "result = value > result || value != value ? value : result;",
            "min": "result = value < result || value != value ? value : result;",
            "prod": "result *= value;",
        }.get(how, "result += value;")
        yield f"const float *x = {self.buffers.pointer(operand, slot)};"
        yield f"float *y = {self.buffers.pointer(View(op, 0, op.size), slot)};"
        at = "k" if operand.step else "0"
        yield f"for (int m = 0; m < {op.size}; m++, x += {count if operand.step else 0}) {{"
        yield "    float result = x[0];"
        yield f"    for (int k = 1; k < {count}; k++) {{"
        yield f"        const float value = x[{at}];"
        yield f"        {step}"
        yield "    }"
        yield f"    y[m] = result{f' / {count}.0f' if how == 'mean' else ''};"
        yield "}"

    def _vectors(self, group: Group, slot: str) -> Iterator[str]:
        inside = set(group.ops)
        reads, lines = Reads(self), []
        for op in group.ops:
            op.attributes.setdefault("from", _kind(op))
            arguments = [
                self.buffers.names[operand.op]
                if isinstance(operand, View) and operand.op in inside
                else reads.vector(operand, _operand_kind(op, number), slot)
                for number, operand in enumerate(op.operands)
            ]
            text = functions.vector_expression(op, arguments)
            self.kernels |= {kernel for call, kernel in functions.KERNELS.items() if f"{call}(" in text}
            lines.append(f"const {'ivec' if op.dtype == BOOL else 'vec'} {self.buffers.names[op]} = {text};")
        yield from reads.declared
        stores = [op for op in group.ops if op in self.stored]
        for number, op in enumerate(stores):
            kind = "int32_t" if op.dtype == BOOL else "float"
            yield f"{kind} *to_{number} = {self.buffers.pointer(View(op, 0, op.size), slot)};"
        yield f"for (size_t j = 0; j < {wide(group.size)}; j += LANES) {{"
        yield from _indented(lines)
        for number, op in enumerate(stores):
            call = "istore" if op.dtype == BOOL else "store"
            yield f"    {call}(to_{number} + j, {self.buffers.names[op]});"
        yield "}"

    def _singles(self, group: Group, slot: str) -> Iterator[str]:
        inside = set(group.ops)
        reads, lines = Reads(self), []
        for op in group.ops:
            arguments = [
                self.buffers.names[operand.op]
                if isinstance(operand, View) and operand.op in inside
                else reads.single(operand, _operand_kind(op, number), slot)
                for number, operand in enumerate(op.operands)
            ]
            lines.append(
                f"const {op.dtype} {self.buffers.names[op]} = {functions.single_expression(op, arguments)};"
            )
        yield from reads.declared
        stores = [op for op in group.ops if op in self.stored]
        for number, op in enumerate(stores):
            yield f"{op.dtype} *to_{number} = {self.buffers.pointer(View(op, 0, op.size), slot)};"
        yield f"for (size_t j = 0; j < {group.size}; j++) {{"
        yield from _indented(lines)
        for number, op in enumerate(stores):
            yield f"    to_{number}[j] = {self.buffers.names[op]};"
        yield "}"


@dataclass
class Reads:
    """The pointers that a loop reads through, each declared once."""

    emitter: Emitter
    declared: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def vector(self, operand: View | Constant, dtype: str, slot: str) -> str:
        """Write a vector that is read."""
        if isinstance(operand, Constant):
            if operand.single:
                value = operand.values.item()
                text = functions.constant_text(value, dtype) if dtype == BOOL else functions.literal(value)
                return f"isplat({text})" if dtype == BOOL else f"splat({text})"
            name = self.emitter.weights.numbers(operand.values, dtype)
            return f"{'iload' if dtype == BOOL else 'load'}({name} + j)"
        name = self._pointer(operand, slot)
        if not operand.step or operand.size == 1:
            return f"isplat(*{name})" if operand.op.dtype == BOOL else f"splat(*{name})"
        return f"{'iload' if operand.op.dtype == BOOL else 'load'}({name} + j)"

    def single(self, operand: View | Constant, dtype: str, slot: str) -> str:
        """Write a number that is read."""
        if isinstance(operand, Constant):
            if operand.single:
                return functions.constant_text(operand.values.item(), dtype)
            return f"{self.emitter.weights.numbers(operand.values, dtype)}[j]"
        name = self._pointer(operand, slot)
        return f"{name}[{'j' if operand.step else '0'}]"

    def _pointer(self, view: View, slot: str) -> str:
        text = self.emitter.buffers.pointer(view, slot)
        if text not in self.names:
            self.names[text] = f"x_{len(self.names)}"
            self.declared.append(f"const {view.op.dtype} *{self.names[text]} = {text};")
        return self.names[text]


def _kind(op: Op) -> str:
    return next((operand.op.dtype for operand in op.operands if isinstance(operand, View)), FLOAT)


def _operand_kind(op: Op, number: int) -> str:
    """Give the type of a constant among an operation's arguments: that of the computed one beside it."""
    if op.kind == "Where":
        return BOOL if number == 0 else op.dtype
    return _kind(op)


def partial_sums(columns: int) -> int:
    """Choose how many sums over k a number is made of: few columns leave the processor waiting otherwise."""
    return 4 if columns <= 32 else 2 if columns <= 128 else 1


def copy(target: str, source: str, view: View) -> Iterator[str]:
    """Write how a piece of a row is copied."""
    if view.size == 1:
        yield f"*({target}) = *({source});"
    elif view.step:
        yield f"memcpy({target}, {source}, {view.size} * sizeof *({target}));"
    else:
        yield f"for (int j = 0; j < {view.size}; j++) ({target})[j] = *({source});"


def _indented(lines: Sequence[str] | Iterator[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
