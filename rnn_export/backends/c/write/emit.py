"""The stages of a pass as C."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.plan.buffers import wide
from rnn_export.backends.c.plan.schedule import Group, Stage
from rnn_export.backends.c.plan.tiles import partial_sums
from rnn_export.backends.c.trace.graph import (
    Affine,
    Constant,
    Dot,
    Gather,
    Lookup,
    Product,
    Reduce,
    Vector,
    View,
)
from rnn_export.backends.c.write.literals import constant_text
from rnn_export.backends.c.write.tiles import Context, Tile, bias, equation


@dataclass
class Emitter:
    """Writes the groups of a pass."""

    context: Context

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
        op, loop = group.vectors[0], first != "0"
        slot = f"{first} + i" if loop else "i"
        if isinstance(op.operation, Dot):
            yield from self._dot(op, first, count)
        elif isinstance(op.operation, Affine):
            yield from self._affine(op, first, count)
        elif type(op.operation) in WRITERS or group.scalar:
            yield f"for (size_t i = 0; i < {count}; i++) {{"
            writer = WRITERS.get(type(op.operation))
            yield from _indented(writer(self, op, slot) if writer else self._singles(group, slot))
            yield "}"
        else:
            yield from Tile(self.context, group.vectors, group.products, slot, loop).write(count)

    def _affine(self, op: Vector, first: str, count: str) -> Iterator[str]:
        context = self.context
        context.kernels.add("affine")
        own, row = context.pointer(View(op, 0, op.size), first), context.row(op)
        begin = "NULL" if op.start else bias(op, context.weights)
        yield f"/* {equation(context, op, context.buffer(op))} */"
        for view, matrix in op.operation.parts():
            sums = partial_sums(op.size, view, loop=first != "0")
            source, packed = context.pointer(view, first), context.weights.matrix(matrix.values, matrix.name)
            yield (
                f"affine({sums}, {count}, {view.size}, {wide(op.size)}, {source}, "
                f"{context.row(view.vector)}, {packed}, {begin}, {own}, {row});"
            )
            begin = "NULL"

    def _dot(self, op: Vector, first: str, count: str) -> Iterator[str]:
        context = self.context
        context.kernels.add("dot")
        [(view, matrix)] = op.operation.parts()
        columns = np.zeros((op.size, wide(view.size)), np.float32)
        columns[:, : view.size] = matrix.values.T
        yield f"/* {equation(context, op, context.buffer(op))} */"
        yield (
            f"dot({count}, {view.size}, {op.size}, {context.pointer(view, first)}, "
            f"{context.row(view.vector)}, {context.weights.packed(columns.ravel(), matrix.name)}, "
            f"{bias(op, context.weights)}, "
            f"{context.pointer(View(op, 0, op.size), first)}, {context.row(op)});"
        )

    def _gather(self, op: Vector, slot: str) -> Iterator[str]:
        yield f"{op.dtype} *y = {self.context.pointer(View(op, 0, op.size), slot)};"
        at = 0
        for piece in op.operation.operands:
            size = piece.size
            if isinstance(piece, Constant):
                source = self.context.weights.numbers(piece.values, op.dtype)
                yield f"memcpy(y + {at}, {source}, {size} * sizeof *y);"
            else:
                yield from copy(f"y + {at}", self.context.pointer(piece, slot), piece)
            at += size

    def _lookup(self, op: Vector, slot: str) -> Iterator[str]:
        [index], weight = op.operation.views(), op.operation.table
        table, name = weight.values, weight.name
        padded = np.zeros((len(table) + 1, wide(op.size)), np.float32)
        padded[:-1, : op.size] = table
        rows = self.context.weights.packed(padded.ravel(), name or "table")
        pointer = self.context.pointer
        yield f"const int64_t index = *({pointer(index, slot)});"
        yield f"const int64_t known = index >= 0 && index < {len(table)} ? index : {len(table)};"
        target = pointer(View(op, 0, op.size), slot)
        yield f"memcpy({target}, {rows} + known * {wide(op.size)}, {op.size} * sizeof(float));"

    def _product(self, op: Vector, slot: str) -> Iterator[str]:
        left, right = op.operation.views()
        pointer = self.context.pointer
        yield f"const float *a = {pointer(left, slot)};"
        yield f"const float *b = {pointer(right, slot)};"
        yield f"float *y = {pointer(View(op, 0, op.size), slot)};"
        yield f"for (int m = 0; m < {op.operation.rows}; m++)"
        yield f"    for (int n = 0; n < {op.operation.columns}; n++) {{"
        yield "        float sum = 0.0f;"
        yield f"        for (int k = 0; k < {op.operation.inner}; k++)"
        yield f"            sum += a[m * {op.operation.inner} + k] * b[k * {op.operation.columns} + n];"
        yield f"        y[m * {op.operation.columns} + n] = sum;"
        yield "    }"

    def _reduce(self, op: Vector, slot: str) -> Iterator[str]:
        [operand] = op.operation.views()
        count, how = op.operation.count, op.operation.function
        step = {
            "max": "result = value > result || value != value ? value : result;",
            "min": "result = value < result || value != value ? value : result;",
            "prod": "result *= value;",
        }.get(how, "result += value;")
        yield f"const float *x = {self.context.pointer(operand, slot)};"
        yield f"float *y = {self.context.pointer(View(op, 0, op.size), slot)};"
        at = "k" if operand.step else "0"
        yield f"for (int m = 0; m < {op.size}; m++, x += {count if operand.step else 0}) {{"
        yield "    float result = x[0];"
        yield f"    for (int k = 1; k < {count}; k++) {{"
        yield f"        const float value = x[{at}];"
        yield f"        {step}"
        yield "    }"
        yield f"    y[m] = result{f' / {count}.0f' if how == 'mean' else ''};"
        yield "}"

    def _singles(self, group: Group, slot: str) -> Iterator[str]:
        inside, names, context = set(group.vectors), self.context.names, self.context
        reads, lines = Reads(self.context, slot), []
        for op in group.vectors:
            arguments = [
                names[operand.vector]
                if isinstance(operand, View) and operand.vector in inside
                else reads.single(operand)
                for operand in op.operation.operands
            ]
            lines.append(f"const {op.dtype} {names[op]} = {op.operation.operator.scalar.format(*arguments)};")
        stores = [op for op in group.vectors if op in self.context.plan.stored]
        yield from reads.declared
        for number, op in enumerate(stores):
            yield f"{op.dtype} *to_{number} = {context.pointer(View(op, 0, op.size), slot)};"
        yield f"for (size_t j = 0; j < {group.size}; j++) {{"
        yield from _indented(lines)
        yield from (f"    to_{number}[j] = {names[op]};" for number, op in enumerate(stores))
        yield "}"


WRITERS = {
    Gather: Emitter._gather,
    Lookup: Emitter._lookup,
    Product: Emitter._product,
    Reduce: Emitter._reduce,
}


@dataclass
class Reads:
    """The pointers that a loop over single numbers reads through, each declared once."""

    context: Context
    slot: str
    declared: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def single(self, operand: View | Constant) -> str:
        """Write a number that is read."""
        if isinstance(operand, Constant):
            if operand.single:
                return constant_text(operand.values.item(), operand.dtype)
            return f"{self.context.weights.numbers(operand.values, operand.dtype)}[j]"
        text = self.context.pointer(operand, self.slot)
        if text not in self.names:
            self.names[text] = f"x_{len(self.names)}"
            self.declared.append(f"const {operand.vector.dtype} *{self.names[text]} = {text};")
        return f"{self.names[text]}[{'j' if operand.step else '0'}]"


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
