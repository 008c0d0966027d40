"""Elementwise operations as functions for some rows, together with the products that they read.

``sigmoid(x W_xi + h W_hi + b_i)`` and the other gates are computed for some rows and some units at once, all
gates of a unit together, and what becomes of them is stored: the products never leave the registers.

A tile makes ``each`` vectors of C of every row, from number ``j`` on: what begins there is called ``name_j``.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from rnn_export.backends.c.plan.buffers import WIDTH
from rnn_export.backends.c.plan.tiles import Cut, Gates, columns, cuts, interleaved, partial_sums
from rnn_export.backends.c.trace.elementwise import BOOL
from rnn_export.backends.c.trace.graph import Affine, Constant, Elementwise, Operand, Vector, View
from rnn_export.backends.c.write.context import Address, Context, comment
from rnn_export.backends.c.write.equations import equations
from rnn_export.backends.c.write.literals import literal, splat_text
from rnn_export.backends.c.write.pack import Stored

LONG = 64  # terms, from which on they are added up apart from what a sum begins with: less is rounded
NEAR = 1 << 13  # weights of a loop, from which on the nearest cache of a processor does not hold them all
ALL = "REGISTERS"  # sums of a row, of which one tile has no more than one row
EVERY_ROW = "UNROLL for (int r = 0; r < rows; r++)"


@dataclass(frozen=True)
class Part:
    """A product within a sum: the matrix, and what the kernel ``product`` takes."""

    stored: Stored
    factors: tuple[str, ...]


@dataclass
class Tile:
    """The function of a group in the making: its lines, its parameters and what they are called with."""

    context: Context
    vectors: list[Vector]
    products: list[Gates]
    slot: str  # of the row that is the i-th
    loop: bool  # whether it stands in a loop through the state: the sums are many, against their latency
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)  # from the argument to type and name
    matrices: dict[str, tuple[Gates, str]] = field(
        default_factory=dict
    )  # by argument, with the count of its rows
    texts: dict[Operand, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = self.vectors[0].size
        self.name = f"{self._main()}_tile"
        self.cuts = cuts(sum(known.count for known in self.products), self.size)

    def _main(self) -> str:
        """Name what the group is there for: the last one that the source has a name for, or the last one."""
        variables = self.context.variables()
        states = [vector for vector in self.vectors if vector in self.context.plan.buffers.owners]
        named = [vector for vector in self.vectors if vector.name]
        return variables[(states or named or self.vectors)[-1]]

    def write(self, count: str) -> Iterator[str]:
        """Write the calls for so many rows, and the function into the context."""
        self.context.kernels.add("tiles")
        body = [line for number, known in enumerate(self.products) for line in self._product(number, known)]
        lines = [*self._operations(), *self._stores()]
        body += [EVERY_ROW, "    UNROLL for (int u = 0; u < each; u++) {"]
        body += [*(f"        {line}" for line in lines), "    }"]
        parameters = [f"{kind}{name}" for kind, name in self.parameters.values()]
        sizes = ["const int rows", "const int each", *(["const int panel"] if self.products else [])]
        listed = ", ".join([*sizes, *parameters])
        self.context.functions += [
            *comment(self._equations()),
            f"INLINE void {self.name}({listed})",
            "{",
            *(f"    {line}" for line in body),
            "}",
            "",
        ]
        for cut in self.cuts:
            step = f"{cut.each} * LANES" if cut.each > 1 else "LANES"
            whole = cut.end if cut.end != self.size else self.context.size(self.vectors[-1])
            end = self.context.size(self.vectors[-1]) if cut.end >= self.size else cut.end
            tiles = f"TILES({self._sums(cut)}, {count}, {self.name}, {', '.join(self._arguments(cut))})"
            if not self._turns(cut):
                yield from (f"for (int j = {cut.first}; j < {end}; j += {step})", f"    {tiles}")
                continue
            yield f"for (int u = 0; u < {whole}; u += {step}) {{"
            yield f"    const int j = back ? {whole} - {step} - u : u; /* what is in the cache first */"
            yield from (f"    {tiles}", "}")

    def _turns(self, cut: Cut) -> bool:
        """Whether each time step goes through the tiles from where the one before ended: large weights."""
        units = cut.end - cut.first
        rows = (view.size * known.count for known in self.products for view in known.operation.views())
        return self.loop and cut.first == 0 and units > cut.panel and sum(rows) * units >= NEAR

    def _equations(self) -> list[str]:
        vectors = [*(known.vector for known in self.products), *self.vectors]
        stored = {vector for vector in self.vectors if vector in self.context.plan.stored}
        return equations(self.context.variables(), vectors, stored)

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
        if self.products:
            yield str(cut.panel)
        for argument in self.parameters:
            if argument not in self.matrices:
                yield argument
                continue
            known, depth = self.matrices[argument]
            begin = Address(argument).plus(f"{cut.first * known.count} * {depth}" if cut.first else "")
            unit = f"j - {cut.first}" if cut.first else "j"
            gates = columns(cut, known) // cut.panel
            rows = f"{gates} * {depth}" if gates > 1 else depth
            yield f"PANEL({begin}, {unit}, {cut.panel}, {rows})"

    def _parameter(self, kind: str, wanted: str, argument: Address | str) -> str:
        """Give the name of the parameter that has some argument."""
        key = str(argument)
        if key not in self.parameters:
            taken = {name for _, name in self.parameters.values()}
            names = (f"{wanted}_{number}" if number > 1 else wanted for number in range(1, len(taken) + 2))
            self.parameters[key] = f"{kind} *", next(name for name in names if name not in taken)
        return self.parameters[key][1]

    def _row(self, vector: Vector) -> str:
        """Name the numbers from a row to the next; what is known at run time only is a parameter."""
        row = self.context.row(vector)
        if row.endswith("_row"):
            self.parameters[row] = "size_t ", row
        return row

    def _product(self, number: int, known: Gates) -> Iterator[str]:
        """Write the sums of an affine operation, and remember where its gates are."""
        vectors = f"{known.count} * each" if known.count > 1 else "each"
        name = f"sum_{number + 1}" if len(self.products) > 1 else "sum"
        begin, parts = self._begin(known), [*self._parts(known)]
        every = [EVERY_ROW, f"    UNROLL for (int v = 0; v < {vectors}; v++)"]
        yield f"vec {name}[TALLEST][8];"
        if any(part.stored.scales for part in parts):
            yield from self._scaled(known, name, begin, parts, every)
        else:
            # a long sum is added up by itself first
            late = begin is not None and max(view.size for view in known.operation.views()) >= LONG
            yield from every
            yield f"        {name}[r][v] = {'splat(0.0f)' if late or begin is None else begin};"
            for part in parts:
                yield self._multiplied(part, name)
            if late:
                yield from every
                yield f"        {name}[r][v] = {begin} + {name}[r][v];"
        for gate, offset in enumerate(known.offsets):
            at = {0: "u", 1: "each + u"}.get(gate, f"{gate} * each + u")
            self.texts[View(known.vector, offset, self.size)] = f"{name}[r][{at}]"

    def _scaled(
        self, known: Gates, name: str, begin: str | None, parts: list[Part], every: list[str]
    ) -> Iterator[str]:
        """Write sums of numbers without their scales, each part by itself, and then times the scales."""
        for part in parts:
            yield "{"
            yield "    vec whole[TALLEST][8];"
            yield from (f"    {line}" for line in every)
            yield "            whole[r][v] = splat(0.0f);"
            yield f"    {self._multiplied(part, 'whole')}"
            yield from (f"    {line}" for line in every)
            scale = f"load({self._columns(known, part.stored.scales)})" if part.stored.scales else ""
            yield f"            {name}[r][v] = {_sum('whole[r][v]', scale, begin)};"
            yield "}"
            begin = f"{name}[r][v]"

    def _multiplied(self, part: Part, name: str) -> str:
        return f"add_{self.context.kernel('gates', part.stored)}({', '.join(part.factors)}, {name});"

    def _begin(self, known: Gates) -> str | None:
        """Write what the sums are added to: what was computed before, or the bias."""
        vector, operation, context = known.vector, known.operation, self.context
        if operation.start is None and operation.bias is None:
            return None
        row = ""
        if operation.start is not None:
            source, name = context.all_of(vector, self.slot), context.names[context.owner(vector)]
            row = f"r * {self._row(vector)}"
        else:
            name = bias(context, vector, WIDTH)  # of the last gates, a vector may end behind it
            source = Address(name)
        return f"load({self._columns(known, name, source, row)})"

    def _columns(self, known: Gates, name: str, source: Address | None = None, row: str = "") -> Address:
        """Say where a number for each column of the sums stands."""
        place = (source or Address(name)).plus(known.offsets[0], "j")
        start = self._parameter("const float", f"{name}_j", place)
        at = f"v / each * {known.gap} + v % each * LANES" if known.count > 1 else "v * LANES"
        return Address(start).plus(row, at)

    def _parts(self, known: Gates) -> Iterator[Part]:
        """List what is multiplied, as the kernel ``add_gates`` takes it."""
        context = self.context
        for view, matrix in known.operation.parts():
            parts = partial_sums(known.vector.size, view, loop=self.loop)
            name = context.names[context.owner(view.vector)]
            x = self._parameter(f"const {view.vector.dtype}", name, context.pointer(view, self.slot))
            stored = context.weights.matrix(
                matrix, lambda values: interleaved(values, known, self.size, self.cuts)
            )
            self.matrices[stored.name] = known, stored.depth(context.count(view))
            w = self._parameter(f"const {stored.type}", f"{stored.name}_j", stored.name)
            count, row = context.count(view), self._row(view.vector)
            factors = ("rows", str(known.count), "each", "panel", str(parts), count, x, row, w)
            yield Part(stored, factors)

    def _operations(self) -> Iterator[str]:
        fused = fusions(self.vectors)
        factors = Counter(operation.operands[place] for operation, place in fused.values())
        read = Counter(operand for vector in self.vectors for operand in vector.operation.views())
        for vector in self.vectors:
            operation, all_of = vector.operation, View(vector, 0, vector.size)
            assert isinstance(operation, Elementwise)
            if vector not in self.context.plan.stored and 0 < read[all_of] == factors[all_of]:
                continue  # a product that is only a part of sums
            numbers = {name: literal(value) for name, value in operation.attributes.items()}
            text = operation.operator.vector.format(*map(self._argument, operation.operands), **numbers)
            if vector in fused:
                text = self._fused(*fused[vector])
            self.context.kernels |= {kernel.name for kernel in operation.operator.kernels}
            kind = "ivec" if vector.dtype == BOOL else "vec"
            yield f"const {kind} {self.context.names[vector]} = {text};"

    def _argument(self, operand: Operand) -> str:
        """Write what an operation reads: a sum in registers, what stands above, or what is in memory."""
        if operand in self.texts:
            return self.texts[operand]
        if isinstance(operand, View) and operand.vector in self.vectors:
            return self.context.names[operand.vector]
        return self._read(operand)

    def _fused(self, operation: Elementwise, place: int) -> str:
        """Write ``a b + c``, ``a b - c`` or ``c - a b``; the product is the operand in that place."""
        product, other = operation.operands[place], self._argument(operation.operands[1 - place])
        assert isinstance(product, View)
        one, another = map(self._argument, product.vector.operation.operands)
        if operation.kind == "Sub":
            one, other = (f"-{one}", other) if place else (one, f"-{other}")
        return f"fused({one}, {another}, {other})"

    def _read(self, operand: Operand) -> str:
        """Write a vector of C that is read from memory."""
        context = self.context
        if isinstance(operand, Constant):
            if operand.single:
                return splat_text(operand.values.item(), operand.dtype)
            name = context.constant(operand, operand.dtype)
            place = self._parameter(f"const {operand.dtype}", f"{name}_j", Address(name).plus("j"))
            return f"{_load(operand.dtype)}({place} + u * LANES)"
        kind, row = operand.vector.dtype, f"r * {self._row(operand.vector)}"
        name, pointer = context.names[context.owner(operand.vector)], context.pointer(operand, self.slot)
        if not operand.step or operand.size == 1:
            place = self._parameter(f"const {kind}", name, pointer)
            return f"{'isplat' if kind == BOOL else 'splat'}({place}[{row}])"
        place = self._parameter(f"const {kind}", f"{name}_j", pointer.plus("j"))
        return f"{_load(kind)}({place} + {row} + u * LANES)"

    def _stores(self) -> Iterator[str]:
        context = self.context
        for vector in (vector for vector in self.vectors if vector in context.plan.stored):
            call = "istore" if vector.dtype == BOOL else "store"
            name = context.names[context.owner(vector)]
            to = self._parameter(vector.dtype, f"to_{name}", context.all_of(vector, self.slot).plus("j"))
            yield f"{call}({to} + r * {self._row(vector)} + u * LANES, {context.names[vector]});"


def fusions(vectors: list[Vector]) -> dict[Vector, tuple[Elementwise, int]]:
    """Find the sums and differences of a group that have a product of the same group for an operand.

    Give each with its operation and the operand's place, the last one if both are products.
    """
    found = {}
    for vector in vectors:
        operation = vector.operation
        if isinstance(operation, Elementwise) and operation.kind in ("Add", "Sub"):
            places = [k for k in (0, 1) if _is_product(operation.operands[k], vectors)]
            if places:
                found[vector] = operation, places[-1]
    return found


def _is_product(operand: Operand, vectors: list[Vector]) -> bool:
    """Whether an operand is a product of two numbers that is made in a group."""
    if not isinstance(operand, View) or operand.vector not in vectors:
        return False
    operation = operand.vector.operation
    return isinstance(operation, Elementwise) and operation.kind == "Mul"


def _sum(product: str, scale: str, begin: str | None) -> str:
    """Write a product, times its scale if it has one, added to what the sum begins with."""
    if scale:
        return f"fused({product}, {scale}, {begin})" if begin else f"{product} * {scale}"
    return f"{begin} + {product}" if begin else product


def _load(dtype: str) -> str:
    return "iload" if dtype == BOOL else "load"


def bias(context: Context, vector: Vector, behind: int = 0) -> str:
    """Give the name of what an affine operation begins its sums with, and so many zeros behind it."""
    operation = vector.operation
    assert isinstance(operation, Affine)
    if operation.bias is None:
        return context.weights.vector(np.zeros(vector.size + behind, np.float32), "zeros")
    return context.weights.vector(np.pad(operation.bias.values, (0, behind)), operation.bias.name or "zeros")
