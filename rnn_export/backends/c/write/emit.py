"""The stages of a sweep as C."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rnn_export.backends.c.plan.buffers import wide
from rnn_export.backends.c.plan.schedule import Group, Stage
from rnn_export.backends.c.plan.tiles import partial_sums
from rnn_export.backends.c.trace.elementwise import FLOAT
from rnn_export.backends.c.trace.graph import (
    Affine,
    Constant,
    Dot,
    Elementwise,
    Gather,
    Lookup,
    Operand,
    Product,
    Reduce,
    Vector,
    View,
)
from rnn_export.backends.c.trace.operations import Across, Convolution, Pick, Put, Ranked, Rows
from rnn_export.backends.c.write.context import Address, Context, comment
from rnn_export.backends.c.write.copies import copies
from rnn_export.backends.c.write.equations import equations
from rnn_export.backends.c.write.literals import constant_text
from rnn_export.backends.c.write.maps import convolution, pick, put, ranked, several
from rnn_export.backends.c.write.pack import padded_rows
from rnn_export.backends.c.write.pairs import across, product, single_numbers
from rnn_export.backends.c.write.tiles import Tile, bias
from rnn_export.program.small_weights import FLOAT32

ACCUMULATE = {  # what a reduction does with the next value
    "max": "result = value > result || value != value ? value : result;",
    "mean": "result += value;",
    "min": "result = value < result || value != value ? value : result;",
    "prod": "result *= value;",
    "sum": "result += value;",
}
WRAPPING = ACCUMULATE | {  # the same of int64
    "prod": "result = (int64_t)((uint64_t)result * (uint64_t)value);",
    "sum": "result = (int64_t)((uint64_t)result + (uint64_t)value);",
}
FEW = 8  # pieces, up to which each is copied by a statement of its own


@dataclass
class Emitter:
    """Writes the groups of a sweep."""

    context: Context

    def stage(self, stage: Stage) -> Iterator[str]:
        """Write a stage: for all slots at once, or step by step."""
        if not stage.loop:
            for group in stage.groups:
                yield from self._group(group, "", "slots")
            return
        yield from comment(self._step(stage))
        lines = [line for group in stage.groups for line in self._group(group, "at", "rows")]
        if any("= back ?" in line for line in lines):
            yield "for (size_t at = 0, back = 0; at < slots; at += rows, back = !back) {"
        else:
            yield "for (size_t at = 0; at < slots; at += rows) {"
        yield from indented(lines)
        yield "}"

    def _step(self, stage: Stage) -> list[str]:
        """Write the equations of a time step."""
        states = {vector for vector in stage.vectors if vector in self.context.plan.buffers.owners}
        return ["One time step after the other:", *equations(self.context.variables(), stage.vectors, states)]

    def _group(self, group: Group, first: str, count: str) -> Iterator[str]:
        """Write a group for some slots, from the first one on."""
        vector, slot = group.vectors[0], f"{first} + i" if first else "i"
        if group.places is not None and not self.context.item:
            yield from self._paired(group, count)
            return
        match vector.operation:
            case Dot() as operation:
                yield from self._dot(vector, operation, first, count)
            case Affine() as operation:
                yield from self._affine(vector, operation, first, count)
            case Elementwise() if not group.scalar:
                yield from Tile(self.context, group.vectors, group.products, slot, bool(first)).write(count)
            case _:
                yield from self._equation(*group.vectors)
                yield f"for (size_t i = 0; i < {count}; i++) {{"
                yield from indented(self._row(group, slot))
                yield "}"

    def _paired(self, group: Group, rows: str) -> Iterator[str]:
        """Write what is done for each place of a time step, row by row: a walk takes one step at a time."""
        assert group.places is not None
        vector, context, count = group.vectors[0], self.context.within(), self.context.steps(group.places)
        lines: Iterator[str]
        match vector.operation:
            case Elementwise() if group.size == 1 and not group.scalar:
                lines = single_numbers(context, group.vectors, count)
            case Product(rows=1, columns=1) as operation:
                lines = product(context, vector, operation, count)
            case _:
                lines = Emitter(context)._group(group, "", count)
        yield from self._equation(*group.vectors)
        yield f"for (size_t item = 0; item < {rows}; item++) {{"
        yield from indented(lines)
        yield "}"

    def _row(self, group: Group, slot: str) -> Iterator[str]:
        """Write what is done for one row."""
        vector = group.vectors[0]
        lines: Iterator[str]
        match vector.operation:
            case Gather() as operation:
                lines = self._gather(vector, operation, slot)
            case Lookup() as operation:
                lines = self._lookup(vector, operation, slot)
            case Product() as operation:
                lines = self._product(vector, operation, slot)
            case Reduce() as operation:
                lines = self._reduce(vector, operation, slot)
            case Convolution() as operation:
                lines = convolution(self.context, vector, operation, slot)
            case Rows() as operation:
                lines = several(self.context, vector, operation, slot)
            case Pick() as operation:
                lines = pick(self.context, vector, operation, slot)
            case Put() as operation:
                lines = put(self.context, vector, operation, slot)
            case Across() as operation:
                lines = across(self.context, vector, operation, slot)
            case Ranked() as operation:
                lines = ranked(self.context, vector, operation, slot)
            case _:
                lines = self._scalars(group, slot)
        return lines

    def _equation(self, *vectors: Vector) -> Iterator[str]:
        stored = {vector for vector in vectors if vector in self.context.plan.stored}
        return comment(equations(self.context.variables(), vectors, stored))

    def _affine(self, vector: Vector, operation: Affine, first: str, count: str) -> Iterator[str]:
        context = self.context
        begin = "NULL" if operation.start else bias(context, vector)
        yield from self._equation(vector)
        for view, matrix in operation.parts():
            sums, stored = partial_sums(vector.size, view, loop=bool(first)), context.weights.matrix(matrix)
            sizes = f"{context.count(view)}, {context.wide(vector)}"
            arguments = [
                context.product(sums, count, sizes, (view.size, wide(vector.size)), stored),
                *(str(context.pointer(view, first)), context.row(view.vector)),
                *(*stored.arrays, begin),
                *(str(context.all_of(vector, first)), context.row(vector)),
            ]
            yield f"{', '.join(arguments)});"
            begin = "NULL"

    def _dot(self, vector: Vector, operation: Dot, first: str, count: str) -> Iterator[str]:
        context = self.context
        [(view, matrix)] = operation.parts()
        stored = context.weights.matrix(matrix, lambda values: padded_rows(values.T), in_words=False)
        arguments = [
            *(count, context.count(view), context.size(vector)),
            *(str(context.pointer(view, first)), context.row(view.vector)),
            *(*stored.arrays, bias(context, vector)),
            *(str(context.all_of(vector, first)), context.row(vector)),
        ]
        yield from self._equation(vector)
        yield f"{context.kernel('dot', stored)}({', '.join(arguments)});"

    def _gather(self, vector: Vector, operation: Gather, slot: str) -> Iterator[str]:
        if len(operation.operands) > FEW:
            yield from copies(self.context, vector, operation, slot)
            return
        target, at = self.context.all_of(vector, slot), 0
        for operand in operation.operands:
            if isinstance(operand, Constant):
                source = self.context.constant(operand, vector.dtype)
                yield f"memcpy({target.plus(at)}, {source}, {operand.size} * sizeof({vector.dtype}));"
            else:
                yield from self.context.copy(target.plus(at), self.context.pointer(operand, slot), operand)
            at += operand.size

    def _lookup(self, vector: Vector, operation: Lookup, slot: str) -> Iterator[str]:
        [index], weight, context = operation.views(), operation.table, self.context
        count, to, size = weight.values.shape[0], context.all_of(vector, slot), context.size(vector)
        stored, by_row = context.weights.table(weight)
        yield f"const int64_t index = {context.pointer(index, slot).item()};"
        yield f"const int64_t known = index >= 0 && index < {count} ? index : {count}; /* then zeros */"
        row = f"{stored.name} + known * {context.wide(vector)}"
        if stored.kind == FLOAT32:
            yield f"memcpy({to}, {row}, {size} * sizeof(float));"
            return
        context.kernels.add(stored.kind)
        scales = [f"{stored.scales} + known", "0"] if by_row else [stored.scales, "1"]
        arguments = [str(to), size, row, *(scales if stored.scales else ())]
        yield f"decode{stored.suffix}({', '.join(arguments)});"

    def _product(self, vector: Vector, operation: Product, slot: str) -> Iterator[str]:
        left, right = operation.views()
        inner, columns = operation.inner, operation.columns
        yield f"const float *left = {self.context.pointer(left, slot)};"
        yield f"const float *right = {self.context.pointer(right, slot)};"
        yield f"float *to = {self.context.all_of(vector, slot)};"
        lines = [
            f"for (int m = 0; m < {operation.rows}; m++)",
            f"    for (int n = 0; n < {columns}; n++) {{",
            "        float result = 0.0f;",
            f"        for (int k = 0; k < {inner}; k++)",
            f"            result += left[m * {inner} + k] * right[k * {columns} + n];",
            f"        to[m * {columns} + n] = result;",
            "    }",
        ]
        if operation.matrices == 1:
            yield from lines
            return
        steps = (operation.rows * inner, inner * columns, operation.rows * columns)
        yield f"for (int j = 0; j < {operation.matrices}; j++) {{"
        yield from indented(lines)
        yield f"    left += {steps[0]}, right += {steps[1]}, to += {steps[2]};"
        yield "}"

    def _reduce(self, vector: Vector, operation: Reduce, slot: str) -> Iterator[str]:
        [operand], count = operation.views(), operation.count
        place = "k" if operand.step else "0"
        table = ACCUMULATE if vector.dtype == FLOAT else WRAPPING
        yield f"const {vector.dtype} *from = {self.context.pointer(operand, slot)};"
        yield f"{vector.dtype} *to = {self.context.all_of(vector, slot)};"
        yield f"for (int m = 0; m < {vector.size}; m++, from += {count if operand.step else 0}) {{"
        yield f"    {vector.dtype} result = from[0];"
        yield f"    for (int k = 1; k < {count}; k++) {{"
        yield f"        const {vector.dtype} value = from[{place}];"
        yield f"        {table[operation.function]}"
        yield "    }"
        if operation.function == "mean":
            yield from indented(_mean(count, place))
        else:
            yield "    to[m] = result;"
        yield "}"

    def _scalars(self, group: Group, slot: str) -> Iterator[str]:
        """Write elementwise operations number by number."""
        inside, names, context = set(group.vectors), self.context.names, self.context
        reads, lines = Reads(context, slot), []
        for vector in group.vectors:
            operation = vector.operation
            assert isinstance(operation, Elementwise)
            arguments = [
                names[operand.vector]
                if isinstance(operand, View) and operand.vector in inside
                else reads.one(operand)
                for operand in operation.operands
            ]
            text = operation.operator.scalar.format(*arguments)
            lines.append(f"const {vector.dtype} {names[vector]} = {text};")
        stored = [vector for vector in group.vectors if vector in context.plan.stored]
        yield from reads.declared
        for vector in stored:
            yield f"{vector.dtype} *to_{names[vector]} = {context.all_of(vector, slot)};"
        yield f"for (size_t j = 0; j < {context.size(group.vectors[0])}; j++) {{"
        yield from indented(lines)
        yield from (f"    to_{names[vector]}[j] = {names[vector]};" for vector in stored)
        yield "}"


@dataclass
class Reads:
    """The pointers that a loop over single numbers reads through, each declared once."""

    context: Context
    slot: str
    declared: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def one(self, operand: Operand) -> str:
        """Write a number that is read."""
        if isinstance(operand, Constant):
            if operand.single:
                return constant_text(operand.values.item(), operand.dtype)
            return Address(self.context.constant(operand, operand.dtype)).plus("j").item()
        text = str(self.context.pointer(operand, self.slot))
        if text not in self.names:
            stem = f"{self.context.names[self.context.owner(operand.vector)]}_j"
            self.names[text] = f"{stem}_{len(self.names)}" if stem in self.names.values() else stem
            self.declared.append(f"const {operand.vector.dtype} *{self.names[text]} = {text};")
        return f"{self.names[text]}[{'j' if operand.step else '0'}]"


def indented(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    """Move lines to the right."""
    return (f"{'    ' * depth}{line}" if line else line for line in lines)


def _mean(count: int, place: str) -> Iterator[str]:
    """Write what makes a mean of a sum: of equal numbers it is that number, whatever their sum rounds off."""
    yield f"const float near = result / {count}.0f;"
    yield "float rest = 0.0f;"
    yield f"for (int k = 0; k < {count}; k++) rest += from[{place}] - near;"
    yield f"to[m] = near - near == 0.0f ? near + rest / {count}.0f : near; /* infinities stay */"
