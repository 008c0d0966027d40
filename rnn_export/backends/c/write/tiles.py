"""Elementwise operations as functions for some rows, together with the products that they read.

``sigmoid(x W_xi + h W_hi + b_i)`` and the other gates are computed for some rows and some units at once, all
gates of a unit together, and what becomes of them is stored: the products never leave the registers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.plan.buffers import WIDTH, row_length
from rnn_export.backends.c.plan.plan import Plan
from rnn_export.backends.c.plan.tiles import Cut, Gates, cuts, interleaved, partial_sums
from rnn_export.backends.c.trace.elementwise import BOOL
from rnn_export.backends.c.trace.graph import Constant, Operand, Vector, View
from rnn_export.backends.c.write.literals import literal, splat_text
from rnn_export.backends.c.write.pack import Weights

LONG = 64  # terms, from which on they are added up apart from what a sum begins with: less is rounded
ALL = "REGISTERS"  # sums of a row, of which one tile has no more than one row


@dataclass
class Context:
    """What the writers of a net share: names and places, and what their lines need."""

    plan: Plan
    names: dict[Vector, str]
    weights: Weights
    kernels: set[str] = field(default_factory=set)
    functions: list[str] = field(default_factory=list)

    def buffer(self, vector: Vector) -> str:
        """Name the buffer that a vector stands in."""
        return self.names[self.plan.buffers.place(vector).owner]

    def row(self, vector: Vector) -> str:
        """Write the numbers from a row of a vector's buffer to the next."""
        owner = self.plan.buffers.place(vector).owner
        return (
            f"{self.names[owner]}_row" if owner in self.plan.buffers.direct else str(row_length(owner.size))
        )

    def pointer(self, view: View, slot: str) -> str:
        """Write the address of a row's numbers."""
        place = self.plan.buffers.place(view.vector)
        at = f"({slot} + rows)" if place.ahead else slot if slot.isidentifier() else f"({slot})"
        if slot == "0":
            at = "rows" if place.ahead else ""
        name = self.names[place.owner]
        text = f"{name} + {at} * {self.row(view.vector)}" if at else name
        offset = place.offset + view.offset
        return f"{text} + {offset}" if offset else text


@dataclass
class Tile:
    """The function of a group in the making: its lines, its parameters and what they are called with."""

    context: Context
    vectors: list[Vector]
    products: list[Gates]
    slot: str  # of the row that is the i-th
    loop: bool  # whether it stands in a loop through the state: the sums are many, against their latency
    parameters: dict[str, str] = field(default_factory=dict)  # from the argument to type and name
    matrices: dict[str, tuple[Gates, int]] = field(default_factory=dict)  # by argument, with the rows of each
    texts: dict[Operand, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = self.vectors[0].size
        self.name = f"{self.context.names[self.vectors[-1]]}_tile"
        self.cuts = cuts(sum(known.count for known in self.products), self.size)

    def write(self, count: str) -> Iterator[str]:
        """Write the calls for so many rows, and the function into the context."""
        body = [line for number, known in enumerate(self.products) for line in self._product(number, known)]
        self.context.kernels.add("tiles")
        lines = [*self._operations(), *self._stores()]
        body += ["UNROLL for (int r = 0; r < rows; r++)", "    UNROLL for (int u = 0; u < each; u++) {"]
        body += [*(f"        {line}" for line in lines), "    }"]
        listed = ", ".join(["const int rows, const int each", *self.parameters.values()])
        notes = [equation(self.context, known.vector, f"sum_{k}") for k, known in enumerate(self.products)]
        self.context.functions += [f"/* {note} */" for note in notes]
        self.context.functions += [
            f"INLINE void {self.name}({listed})",
            "{",
            *(f"    {line}" for line in body),
            "}",
        ]
        for cut in self.cuts:
            yield f"for (int j = {cut.first}; j < {cut.end}; j += {cut.each} * LANES)"
            yield f"    TILES({self._sums(cut)}, {count}, {self.name}, {', '.join(self._arguments(cut))})"

    def _sums(self, cut: Cut) -> int | str:
        """Count the sums that a row of a tile has at once."""
        found = [
            known.count
            * cut.each
            * max(partial_sums(known.vector.size, view, loop=self.loop) for view in known.operation.views())
            for known in self.products
        ]
        return sum(found) or ALL

    def _arguments(self, cut: Cut) -> Iterator[str]:
        """List what the function is called with for some units."""
        yield str(cut.each)
        panel = cut.each * WIDTH
        for argument in self.parameters:
            if argument not in self.matrices:
                yield argument
                continue
            known, depth = self.matrices[argument]
            row = known.count * depth
            begin = f"{argument} + {cut.first * row} + " if cut.first else f"{argument} + "
            unit = f"(j - {cut.first})" if cut.first else "j"
            yield f"{begin}{unit} / {panel} * {panel * row} + {unit} % {panel}"

    def parameter(self, kind: str, stem: str, argument: str) -> str:
        """Give the name of the parameter that has some argument."""
        if argument not in self.parameters:
            number = sum(text.startswith(f"{kind} *{stem}_") for text in self.parameters.values())
            self.parameters[argument] = f"{kind} *{stem}_{number}"
        return self.parameters[argument].rpartition("*")[2]

    def _product(self, number: int, known: Gates) -> Iterator[str]:
        """Write the sums of an affine operation, and remember where its gates are."""
        self.context.kernels.add("product")
        op, context = known.vector, self.context
        vectors = f"{known.count} * each" if known.count > 1 else "each"
        if op.start is None:
            begin, row = bias(op, self.context.weights), "0"
        else:
            begin, row = context.pointer(View(op, 0, op.size), self.slot), context.row(op)
        first = known.offsets[0]
        start = self.parameter("const float", "start", f"{begin} + {first} + j" if first else f"{begin} + j")
        at = f"v / each * {known.gap} + v % each * LANES" if known.count > 1 else "v * LANES"
        each = ["UNROLL for (int r = 0; r < rows; r++)", f"    UNROLL for (int v = 0; v < {vectors}; v++)"]
        begin = f"load({start} + r * {row} + {at})"
        late = max(view.size for view in known.operation.views()) >= LONG
        yield f"vec sum_{number}[8][8];"
        yield from each
        yield f"        sum_{number}[r][v] = {'splat(0.0f)' if late else begin};"
        for view, matrix in known.operation.parts():
            x = self.parameter("const float", "x", context.pointer(view, self.slot))
            packed = self.context.weights.packed(
                interleaved(matrix.values, known, self.size, self.cuts), matrix.name
            )
            self.matrices[packed] = known, view.size
            w = self.parameter("const float", "w", packed)
            parts = partial_sums(op.size, view, loop=self.loop)
            row = context.row(view.vector)
            if not row.isdigit():
                self.parameters[row] = f"size_t {row}"
            yield (
                f"product(rows, {known.count}, each, {parts}, {view.size}, {x}, {row}, {w}, "
                f"{vectors} * 16, each * 16, sum_{number});"
            )
        if late:
            yield from each
            yield f"        sum_{number}[r][v] = {begin} + sum_{number}[r][v];"
        for gate, offset in enumerate(known.offsets):
            at = f"{gate} * each + u" if gate else "u"
            self.texts[View(op, offset, self.size)] = f"sum_{number}[r][{at}]"

    def _operations(self) -> Iterator[str]:
        inside = set(self.vectors)
        for op in self.vectors:
            arguments = []
            for operand in op.operation.operands:
                if operand in self.texts:
                    arguments.append(self.texts[operand])
                elif isinstance(operand, View) and operand.vector in inside:
                    arguments.append(self.context.names[operand.vector])
                else:
                    arguments.append(self._read(operand))
            operation = op.operation
            numbers = {name: literal(value) for name, value in (operation.attributes or {}).items()}
            text = operation.operator.vector.format(*arguments, **numbers)
            self.context.kernels |= {kernel.name for kernel in operation.operator.kernels}
            kind = "ivec" if op.dtype == BOOL else "vec"
            yield f"const {kind} {self.context.names[op]} = {text};"

    def _read(self, operand: Operand) -> str:
        """Write a vector that is read from memory."""
        if isinstance(operand, Constant):
            if operand.single:
                return splat_text(operand.values.item(), operand.dtype)
            name = self.context.weights.numbers(operand.values, operand.dtype)
            mark = "i" if operand.dtype == BOOL else ""
            return f"{mark}load({self.parameter(f'const {operand.dtype}', 'c', f'{name} + j')} + u * LANES)"
        mark = "i" if operand.vector.dtype == BOOL else ""
        kind, row = f"const {operand.vector.dtype}", self.context.row(operand.vector)
        pointer = self.context.pointer(operand, self.slot)
        if not operand.step or operand.size == 1:
            return f"{mark}splat({self.parameter(kind, 'y', pointer)}[r * {row}])"
        return f"{mark}load({self.parameter(kind, 'y', f'{pointer} + j')} + r * {row} + u * LANES)"

    def _stores(self) -> Iterator[str]:
        context = self.context
        for op in (op for op in self.vectors if op in context.plan.stored):
            call = "istore" if op.dtype == BOOL else "store"
            pointer = context.pointer(View(op, 0, op.size), self.slot)
            to = self.parameter(op.dtype, "to", f"{pointer} + j")
            yield f"{call}({to} + r * {context.row(op)} + u * LANES, {context.names[op]});"


def bias(op: Vector, weights: Weights) -> str:
    """Give the name of what an affine operation begins its sums with."""
    own = op.operation.bias
    numbers = np.zeros(op.size, np.float32) if own is None else own.values
    return weights.vector(numbers, (own.name if own else "") or "zeros")


def equation(context: Context, op: Vector, result: str) -> str:
    """Write an affine operation in the model's own names."""
    begin = [context.buffer(op)] if op.start else []
    terms = [f"{context.buffer(view.vector)} {matrix.name or 'W'}" for view, matrix in op.operation.parts()]
    end = [op.operation.bias.name or "b"] if op.operation.bias is not None else []
    return f"{result} = {' + '.join([*begin, *terms, *end])}".replace("*/", "* /")
