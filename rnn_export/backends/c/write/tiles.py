"""Elementwise operations as functions for some rows, together with the products that they read.

``sigmoid(x W_xi + h W_hi + b_i)`` and the other gates are computed for some rows and some units at once, all
gates of a unit together, and what becomes of them is stored: the products never leave the registers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from rnn_export.backends.c.plan.buffers import WIDTH, Buffers
from rnn_export.backends.c.trace.graph import AFFINE, BOOL, FLOAT, Constant, Op, Operand, View
from rnn_export.backends.c.write import functions
from rnn_export.backends.c.write.pack import Weights
from rnn_export.signature.signature import Array

VECTORS = 4  # of a tile's row, where a vector has WIDTH numbers
LONG = 64  # terms, from which on they are added up apart from what a sum begins with: less is rounded
ALL = "REGISTERS"  # sums of a row, of which one tile has no more than one row


@dataclass(frozen=True)
class Gates:
    """An affine operation that is read in parts of one size: the first columns, equally spaced."""

    op: Op
    offsets: tuple[int, ...]

    @property
    def count(self) -> int:
        """Give the number of gates."""
        return len(self.offsets)

    @property
    def gap(self) -> int:
        """Give the columns from a gate to the next."""
        return self.offsets[1] - self.offsets[0] if self.count > 1 else 0


def gates(op: Op, readers: Sequence[Op | None], users: list[Op], size: int) -> Gates | None:
    """Say how some operations of a size read an affine one, if they alone read it, and as gates."""
    if op.kind != AFFINE or not readers or any(reader not in users for reader in readers):
        return None
    views = [view for user in users for view in user.operands if isinstance(view, View) and view.op is op]
    offsets = sorted({view.offset for view in views})
    spaces = {after - before for before, after in pairwise(offsets)}
    if any(view.size != size or not view.step or view.offset % WIDTH for view in views) or len(spaces) > 1:
        return None
    return None if len(offsets) > VECTORS else Gates(op, tuple(offsets))


@dataclass(frozen=True)
class Cut:
    """Units that are computed in tiles: the first, the end, and how many sixteens a tile has."""

    first: int
    end: int
    each: int


def cuts(count: int, size: int) -> list[Cut]:
    """Cut the units of so many gates into tiles.

    >>> cuts(1, 112)
    [Cut(first=0, end=64, each=4), Cut(first=64, end=112, each=3)]
    """
    blocks = -(-size // WIDTH)
    each = min(VECTORS // count, blocks) if count else 1
    whole = blocks // each * each
    found = [Cut(0, whole * WIDTH, each), Cut(whole * WIDTH, blocks * WIDTH, blocks - whole)]
    return [cut for cut in found if cut.first < cut.end]


def interleaved(matrix: Array, known: Gates, size: int, tiles: list[Cut]) -> Array:
    """Order a matrix as the tiles read it: for each tile all rows, in a row the same units of every gate."""
    padded = np.zeros((matrix.shape[0], known.offsets[-1] + -(-size // WIDTH) * WIDTH), np.float32)
    for offset in known.offsets:
        padded[:, offset : offset + size] = matrix[:, offset : offset + size]
    found = []
    for cut in tiles:
        for first in range(cut.first, cut.end, cut.each * WIDTH):
            ranges = [slice(offset + first, offset + first + cut.each * WIDTH) for offset in known.offsets]
            found.append(np.concatenate([padded[:, columns] for columns in ranges], axis=1).ravel())
    return np.concatenate(found)


@dataclass
class Context:
    """What is known of a pass where its groups are written, and what these need."""

    buffers: Buffers
    weights: Weights
    stored: set[Op]  # what more than its own group reads
    kernels: set[str] = field(default_factory=set)
    functions: list[str] = field(default_factory=list)


@dataclass
class Tile:
    """The function of a group in the making: its lines, its parameters and what they are called with."""

    context: Context
    ops: list[Op]
    products: list[Gates]
    slot: str  # of the row that is the i-th
    loop: bool  # whether it stands in a loop through the state: the sums are many, against their latency
    parameters: dict[str, str] = field(default_factory=dict)  # from the argument to type and name
    matrices: dict[str, tuple[Gates, int]] = field(default_factory=dict)  # by argument, with the rows of each
    texts: dict[Operand, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = self.ops[0].size
        self.name = f"{self.context.buffers.names[self.ops[-1]]}_tile"
        self.cuts = cuts(sum(known.count for known in self.products), self.size)

    def write(self, count: str) -> Iterator[str]:
        """Write the calls for so many rows, and the function into the context."""
        body = [line for number, known in enumerate(self.products) for line in self._product(number, known)]
        self.context.kernels.add("tiles")
        lines = [*self._operations(), *self._stores()]
        body += ["UNROLL for (int r = 0; r < rows; r++)", "    UNROLL for (int u = 0; u < each; u++) {"]
        body += [*(f"        {line}" for line in lines), "    }"]
        listed = ", ".join(["const int rows, const int each", *self.parameters.values()])
        notes = [
            equation(known.op, self.context.buffers, f"sum_{k}") for k, known in enumerate(self.products)
        ]
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
            * max(partial_sums(known.op.size, view.size, loop=self.loop) for view in views(known.op))
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
        op, buffers = known.op, self.context.buffers
        vectors = f"{known.count} * each" if known.count > 1 else "each"
        if op.start is None:
            begin, row = bias(op, self.context.weights), "0"
        else:
            begin, row = buffers.pointer(View(op, 0, op.size), self.slot), buffers.place(op).row
        first = known.offsets[0]
        start = self.parameter("const float", "start", f"{begin} + {first} + j" if first else f"{begin} + j")
        at = f"v / each * {known.gap} + v % each * LANES" if known.count > 1 else "v * LANES"
        each = ["UNROLL for (int r = 0; r < rows; r++)", f"    UNROLL for (int v = 0; v < {vectors}; v++)"]
        begin = f"load({start} + r * {row} + {at})"
        late = max(view.size for view in views(op)) >= LONG
        yield f"vec sum_{number}[8][8];"
        yield from each
        yield f"        sum_{number}[r][v] = {'splat(0.0f)' if late else begin};"
        for view, matrix, name in zip(views(op), op.matrices, op.names, strict=True):
            x = self.parameter("const float", "x", buffers.pointer(view, self.slot))
            packed = self.context.weights.packed(interleaved(matrix, known, self.size, self.cuts), name)
            self.matrices[packed] = known, view.size
            w = self.parameter("const float", "w", packed)
            parts = partial_sums(op.size, view.size, loop=self.loop)
            row = buffers.place(view.op).row
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
        inside = set(self.ops)
        for op in self.ops:
            op.attributes.setdefault("from", kind_of(op))
            arguments = []
            for number, operand in enumerate(op.operands):
                if operand in self.texts:
                    arguments.append(self.texts[operand])
                elif isinstance(operand, View) and operand.op in inside:
                    arguments.append(self.context.buffers.names[operand.op])
                else:
                    arguments.append(self._read(operand, kind_of_operand(op, number)))
            text = functions.vector_expression(op, arguments)
            self.context.kernels |= {
                kernel for call, kernel in functions.KERNELS.items() if f"{call}(" in text
            }
            kind = "ivec" if op.dtype == BOOL else "vec"
            yield f"const {kind} {self.context.buffers.names[op]} = {text};"

    def _read(self, operand: Operand, dtype: str) -> str:
        """Write a vector that is read from memory."""
        if isinstance(operand, Constant):
            if operand.single:
                return functions.splat_text(operand.values.item(), dtype)
            name = self.context.weights.numbers(operand.values, dtype)
            mark = "i" if dtype == BOOL else ""
            return f"{mark}load({self.parameter(f'const {dtype}', 'c', f'{name} + j')} + u * LANES)"
        mark = "i" if operand.op.dtype == BOOL else ""
        kind, row = f"const {operand.op.dtype}", self.context.buffers.place(operand.op).row
        pointer = self.context.buffers.pointer(operand, self.slot)
        if not operand.step or operand.size == 1:
            return f"{mark}splat({self.parameter(kind, 'y', pointer)}[r * {row}])"
        return f"{mark}load({self.parameter(kind, 'y', f'{pointer} + j')} + r * {row} + u * LANES)"

    def _stores(self) -> Iterator[str]:
        buffers = self.context.buffers
        for op in (op for op in self.ops if op in self.context.stored):
            call = "istore" if op.dtype == BOOL else "store"
            pointer = buffers.pointer(View(op, 0, op.size), self.slot)
            to = self.parameter(op.dtype, "to", f"{pointer} + j")
            yield f"{call}({to} + r * {buffers.place(op).row} + u * LANES, {buffers.names[op]});"


def views(op: Op) -> list[View]:
    """List the vectors that an affine operation reads."""
    return [view for view in op.operands if isinstance(view, View)]


def bias(op: Op, weights: Weights) -> str:
    """Give the name of what an affine operation begins its sums with."""
    numbers = np.zeros(op.size, np.float32) if op.bias is None else op.bias
    return weights.vector(numbers, op.bias_name or "zeros")


def equation(op: Op, buffers: Buffers, result: str) -> str:
    """Write an affine operation in the model's own names."""
    begin = [result if result == buffers.place(op).name else buffers.place(op).name] if op.start else []
    terms = [
        f"{buffers.place(view.op).name} {name or 'W'}" for view, name in zip(views(op), op.names, strict=True)
    ]
    end = [op.bias_name or "b"] if op.bias is not None else []
    return f"{result} = {' + '.join([*begin, *terms, *end])}".replace("*/", "* /")


def partial_sums(columns: int, depth: int, *, loop: bool) -> int:
    """Choose how many sums a number is made of: in a loop, few columns make the processor wait for one."""
    if not loop:
        return 1
    return 4 if columns <= 32 and depth >= 16 else 2 if columns <= 128 and depth >= 8 else 1


def kind_of(op: Op) -> str:
    """Give the type of the numbers that an operation reads."""
    return next((operand.op.dtype for operand in op.operands if isinstance(operand, View)), FLOAT)


def kind_of_operand(op: Op, number: int) -> str:
    """Give the type of a constant among an operation's arguments: that of the computed one beside it."""
    if op.kind == "Where":
        return BOOL if number == 0 else op.dtype
    return kind_of(op)
