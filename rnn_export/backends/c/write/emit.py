"""The stages of a pass as C."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.plan.buffers import wide
from rnn_export.backends.c.plan.schedule import Group, Stage
from rnn_export.backends.c.trace.graph import AFFINE, DOT, GATHER, LOOKUP, PRODUCT, REDUCE, Constant, Op, View
from rnn_export.backends.c.write import functions
from rnn_export.backends.c.write.tiles import (
    Context,
    Tile,
    bias,
    equation,
    kind_of_operand,
    partial_sums,
    views,
)


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
        op, loop = group.ops[0], first != "0"
        slot = f"{first} + i" if loop else "i"
        if op.kind == AFFINE:
            yield from self._affine(op, first, count)
        elif op.kind == DOT:
            yield from self._dot(op, first, count)
        elif op.kind in WRITERS or group.whole:
            yield f"for (size_t i = 0; i < {count}; i++) {{"
            writer = WRITERS.get(op.kind)
            yield from _indented(writer(self, op, slot) if writer else self._singles(group, slot))
            yield "}"
        else:
            yield from Tile(self.context, group.ops, group.products, slot, loop).write(count)

    def _affine(self, op: Op, first: str, count: str) -> Iterator[str]:
        context, buffers = self.context, self.context.buffers
        context.kernels.add("affine")
        own, row = buffers.pointer(View(op, 0, op.size), first), buffers.place(op).row
        begin = "NULL" if op.start else bias(op, context.weights)
        yield f"/* {equation(op, buffers, buffers.place(op).name)} */"
        for view, matrix, name in zip(views(op), op.matrices, op.names, strict=True):
            sums = partial_sums(op.size, view.size, loop=first != "0")
            source, packed = buffers.pointer(view, first), context.weights.matrix(matrix, name)
            yield (
                f"affine({sums}, {count}, {view.size}, {wide(op.size)}, {source}, "
                f"{buffers.place(view.op).row}, {packed}, {begin}, {own}, {row});"
            )
            begin = "NULL"

    def _dot(self, op: Op, first: str, count: str) -> Iterator[str]:
        context, buffers = self.context, self.context.buffers
        context.kernels.add("dot")
        [view], [matrix] = views(op), op.matrices
        columns = np.zeros((op.size, wide(view.size)), np.float32)
        columns[:, : view.size] = matrix.T
        yield f"/* {equation(op, buffers, buffers.place(op).name)} */"
        yield (
            f"dot({count}, {view.size}, {op.size}, {buffers.pointer(view, first)}, "
            f"{buffers.place(view.op).row}, {context.weights.packed(columns.ravel(), op.names[0])}, "
            f"{bias(op, context.weights)}, "
            f"{buffers.pointer(View(op, 0, op.size), first)}, {buffers.place(op).row});"
        )

    def _gather(self, op: Op, slot: str) -> Iterator[str]:
        yield f"{op.dtype} *y = {self.context.buffers.pointer(View(op, 0, op.size), slot)};"
        at = 0
        for piece in op.places:
            size = piece.values.size if isinstance(piece, Constant) else piece.size
            if isinstance(piece, Constant):
                source = self.context.weights.numbers(piece.values, op.dtype)
                yield f"memcpy(y + {at}, {source}, {size} * sizeof *y);"
            else:
                yield from copy(f"y + {at}", self.context.buffers.pointer(piece, slot), piece)
            at += size

    def _lookup(self, op: Op, slot: str) -> Iterator[str]:
        [index], [table], [name] = views(op), op.matrices, op.names
        padded = np.zeros((len(table) + 1, wide(op.size)), np.float32)
        padded[:-1, : op.size] = table
        rows = self.context.weights.packed(padded.ravel(), name or "table")
        pointer = self.context.buffers.pointer
        yield f"const int64_t index = *({pointer(index, slot)});"
        yield f"const int64_t known = index >= 0 && index < {len(table)} ? index : {len(table)};"
        target = pointer(View(op, 0, op.size), slot)
        yield f"memcpy({target}, {rows} + known * {wide(op.size)}, {op.size} * sizeof(float));"

    def _product(self, op: Op, slot: str) -> Iterator[str]:
        left, right = views(op)
        sizes, pointer = op.attributes, self.context.buffers.pointer
        yield f"const float *a = {pointer(left, slot)};"
        yield f"const float *b = {pointer(right, slot)};"
        yield f"float *y = {pointer(View(op, 0, op.size), slot)};"
        yield f"for (int m = 0; m < {sizes['rows']}; m++)"
        yield f"    for (int n = 0; n < {sizes['columns']}; n++) {{"
        yield "        float sum = 0.0f;"
        yield f"        for (int k = 0; k < {sizes['inner']}; k++)"
        yield f"            sum += a[m * {sizes['inner']} + k] * b[k * {sizes['columns']} + n];"
        yield f"        y[m * {sizes['columns']} + n] = sum;"
        yield "    }"

    def _reduce(self, op: Op, slot: str) -> Iterator[str]:
        [operand] = views(op)
        count, how = op.attributes["n"], op.attributes["how"]
        step = {
            "max": "result = value > result || value != value ? value : result;",
            "min": "result = value < result || value != value ? value : result;",
            "prod": "result *= value;",
        }.get(how, "result += value;")
        yield f"const float *x = {self.context.buffers.pointer(operand, slot)};"
        yield f"float *y = {self.context.buffers.pointer(View(op, 0, op.size), slot)};"
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
        inside, names, buffers = set(group.ops), self.context.buffers.names, self.context.buffers
        reads, lines = Reads(self.context, slot), []
        for op in group.ops:
            arguments = [
                names[operand.op]
                if isinstance(operand, View) and operand.op in inside
                else reads.single(operand, kind_of_operand(op, number))
                for number, operand in enumerate(op.operands)
            ]
            lines.append(f"const {op.dtype} {names[op]} = {functions.single_expression(op, arguments)};")
        stores = [op for op in group.ops if op in self.context.stored]
        yield from reads.declared
        for number, op in enumerate(stores):
            yield f"{op.dtype} *to_{number} = {buffers.pointer(View(op, 0, op.size), slot)};"
        yield f"for (size_t j = 0; j < {group.size}; j++) {{"
        yield from _indented(lines)
        yield from (f"    to_{number}[j] = {names[op]};" for number, op in enumerate(stores))
        yield "}"


WRITERS = {
    GATHER: Emitter._gather,
    LOOKUP: Emitter._lookup,
    PRODUCT: Emitter._product,
    REDUCE: Emitter._reduce,
}


@dataclass
class Reads:
    """The pointers that a loop over single numbers reads through, each declared once."""

    context: Context
    slot: str
    declared: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def single(self, operand: View | Constant, dtype: str) -> str:
        """Write a number that is read."""
        if isinstance(operand, Constant):
            if operand.single:
                return functions.constant_text(operand.values.item(), dtype)
            return f"{self.context.weights.numbers(operand.values, dtype)}[j]"
        text = self.context.buffers.pointer(operand, self.slot)
        if text not in self.names:
            self.names[text] = f"x_{len(self.names)}"
            self.declared.append(f"const {operand.op.dtype} *{self.names[text]} = {text};")
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
