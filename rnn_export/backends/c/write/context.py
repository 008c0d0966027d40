"""What the writers of a net share: names, addresses, sizes, and what their lines need."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from rnn_export.backends.c.plan.buffers import place_length, row_length, wide
from rnn_export.backends.c.plan.plan import Plan
from rnn_export.backends.c.trace.graph import ONCE, TIME_STEPS, Constant, Operand, Vector, View
from rnn_export.backends.c.trace.operations import Each
from rnn_export.backends.c.write.pack import Stored, Weights
from rnn_export.signature.sizes import TIME, Length
from rnn_export.signature.tensors import TensorSpec

LARGE = 1 << 13  # multiplications of a product for each row: a call takes a hundredth of them
PUBLIC = ("input", "output", "stack", "state", "workspace")  # the sizes that model.h defines
SIMPLE = re.compile(r"\w+(->\w+)?")  # what needs no parentheses


@dataclass(frozen=True)
class Address:
    """A place in an array."""

    array: str
    terms: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it as a pointer."""
        return " + ".join([self.array, *self.terms])

    def plus(self, *terms: str | int) -> "Address":
        """Give a place behind it."""
        return Address(self.array, (*self.terms, *(str(term) for term in terms if term not in (0, ""))))

    def item(self) -> str:
        """Write the number that stands there."""
        return f"{self.array}[{' + '.join(self.terms) or '0'}]"


def times(count: str, size: str | int) -> str:
    """Multiply, unless it is with 1."""
    if str(size) == "1":
        return count
    return f"{count if SIMPLE.fullmatch(count) else f'({count})'} * {size}"


def length_text(length: Length, steps: str) -> str:
    """Write how many there are for some time steps.

    >>> length_text(Length(2, -3, 4), "steps"), length_text(Length(0, 1), "steps")
    ('(2 * steps > 3 ? 2 * steps - 3 : 0) / 4', 'steps > 0')
    """
    if length == ONCE:
        return f"{steps} > 0"
    text = steps if length.times == 1 else f"{length.times} * {steps}"
    if length.more > 0:
        text = f"({text} + {length.more})"
    elif length.more < 0:
        text = f"({text} > {-length.more} ? {text} - {-length.more} : 0)"
    text += f" / {length.by}" if length.by > 1 else ""
    text = f"{length.each} * ({text})" if length.each > 1 else text
    return f"{text} {'+' if length.plus > 0 else '-'} {abs(length.plus)}" if length.plus else text


def comment(lines: Iterable[str], width: int = 100) -> Iterator[str]:
    """Write lines as one comment; what would end it is kept apart."""
    texts = [line.replace("*/", "* /") for line in lines]
    broken = [text if at == 0 else f"   {text}" for at, text in enumerate(texts)]
    if broken:
        yield from "\n".join(_wrapped(broken, width)).join(("/* ", " */")).split("\n")


def _wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """Break long lines at spaces."""
    for line in lines:
        words, current = line.split(" "), ""
        for word in words:
            if current.strip() and len(current) + len(word) > width:
                yield current.rstrip()
                current = " " * 7
            current += f"{word} "
        yield current.rstrip()


@dataclass
class Context:
    """What is known of a net while it is written.

    Attributes:
        plan: what runs when, and where vectors stand.
        model: what its functions are called after.
        names: of the vectors.
        weights: the constant arrays, each added where it is first needed.
        kernels: the sections of ``kernels.c`` that are needed.
        functions: the tiles, as text.
        sizes: the named sizes that are needed.
        products: the functions of their own that large products have, by what they are called with.
        item: in what is done for each place of a time step, the number of the row; else nothing.
        regions: the pointers to what earlier walks left of a vector for all of their steps.
    """

    plan: Plan
    model: str
    names: dict[Vector, str]
    weights: Weights
    kernels: set[str] = field(default_factory=set)
    functions: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    products: dict[tuple[int, int, int, str], str] = field(default_factory=dict)
    stems: dict[str, str] = field(default_factory=dict)  # what sizes are called after, by the vector's name
    item: str = ""
    regions: dict[Vector, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for spec in (*self.plan.signature.inputs, *self.plan.signature.outputs):
            self.stems[spec.name] = spec.name.upper()
        # model.h has sizes of these names
        self.stems |= {f"{self.model} {what}": f"{self.model}_{what}".upper() for what in PUBLIC}

    def kernel(self, name: str, matrix: Stored) -> str:
        """Name the kernel that reads a matrix, and note that it is needed."""
        self.kernels.add(f"{name}{matrix.suffix}")
        return f"{name}{matrix.suffix}"

    def product(self, sums: int, count: str, sizes: str, shape: tuple[int, int], matrix: Stored) -> str:
        """Write how a call of ``affine`` begins, up to the sizes of its matrix, which ``sizes`` names.

        A large product is a function of its own. Written out, it would be in each of the three copies of a
        walk, and as often as a deep matrix is cut: of three layers of 1024 units, half a minute of the
        compiler's time.
        """
        kernel, (rows, columns) = self.kernel("affine", matrix), shape
        if rows * columns < LARGE:
            return f"{kernel}({sums}, {count}, {sizes}"
        key = (sums, rows, columns, matrix.suffix)
        if key not in self.products:
            self.products[key] = self.weights.names.new(f"{kernel}_{rows}_{columns}")
            scales = "const float *scale, " if matrix.scales else ""
            numbers = f"const float *x, size_t x_step, const {matrix.type} *w, {scales}const float *b"
            given = f"x, x_step, w, {'scale, ' if scales else ''}b, y, y_step"
            taken = f"size_t rows, {numbers}, float *y, size_t y_step"
            self.functions += [
                f"APART TARGET static void {self.products[key]}({taken})",
                "{",
                f"    {kernel}({sums}, rows, {rows}, {columns}, {given});",
                "}",
                "",
            ]
        return f"{self.products[key]}({count}"

    def steps(self, clock: Length) -> str:
        """Name a number of time steps in the function that walks over them."""
        clocks = list(self.plan.clocks)
        kind = "frames" if clock.base == TIME else "places"
        return "steps" if clock == TIME_STEPS else f"{kind}_{clocks.index(clock) + 1}"

    def all_steps(self, clock: Length) -> str:
        """Write a number of time steps of the call, or of entries of a context."""
        return length_text(clock, f"c->{'steps' if clock.base == TIME else clock.base}")

    def variables(self) -> dict[Vector, str]:
        """Name the vectors as equations do: a state and what it becomes are one variable."""
        owners = self.plan.buffers.owners
        found = {vector: self.names[owners.get(vector, vector)] for vector in self.names}
        each = [vector for vector in self.names if isinstance(vector.operation, Each)]
        return found | {vector: self.regions[self.source(vector)] for vector in each}

    def source(self, vector: Vector) -> Vector:
        """Give what an earlier walk made, if a vector is that as the places of a time step."""
        return next(vector.sources()) if self.is_each(vector) else vector

    def is_each(self, vector: Vector) -> bool:
        """Whether a vector is what an earlier walk made, as the places of a time step."""
        return isinstance(vector.operation, Each)

    def place_row(self, vector: Vector) -> str:
        """Write the numbers from a place of a time step to the next."""
        return str(place_length(self.source(self.owner(vector))))

    def owner(self, vector: Vector) -> Vector:
        """Give the vector whose buffer another one stands in."""
        return self.plan.buffers.place(vector).owner

    def size(self, vector: Vector) -> str:
        """Name the count of a vector's numbers."""
        owner = self.owner(vector)
        return self._named(owner, "SIZE", vector.size) if owner.size == vector.size else str(vector.size)

    def count(self, operand: Operand) -> str:
        """Name the count of an operand's numbers."""
        if isinstance(operand, View) and operand.size == operand.vector.size:
            return self.size(operand.vector)
        return str(operand.size)

    def row(self, vector: Vector) -> str:
        """Name the numbers from a row of a vector's buffer to the next, or from a row's place to the next."""
        owner = self.owner(vector)
        if owner.places is not None:
            return self.place_row(owner)
        return "0" if self.item else self._row(owner)

    def _row(self, owner: Vector) -> str:
        return f"{self.names[owner]}_row" if owner in self.plan.buffers.direct else self.buffer_row(owner)

    def buffer_row(self, owner: Vector) -> str:
        """Name the same of a buffer, also where the caller's own array may take its place."""
        return self._named(owner, "ROW", row_length(owner.size))

    def _named(self, vector: Vector, end: str, value: int) -> str:
        called = self.names[vector]
        if called not in self.stems:
            stem, number = called.upper(), 1
            while stem in self.stems.values():
                number += 1
                stem = f"{called.upper()}_{number}"
            self.stems[called] = stem
        return self._size(f"{self.stems[called]}_{end}", value)

    def _size(self, name: str, value: int) -> str:
        assert self.sizes.setdefault(name, value) == value
        return name

    def outputs_size(self, spec: TensorSpec, units: int) -> str:
        """Name the count of a row's numbers of an output."""
        return self._size(f"{self.stems[spec.name]}_SIZE", units)

    def pointer(self, view: View, slot: str) -> Address:
        """Give the address of a row's numbers; ``slot`` is empty for the first row."""
        place = self.plan.buffers.place(view.vector)
        if place.owner.places is not None:
            first = (
                sum(each.offset for each in place.owner.operation.views()) if self.is_each(view.vector) else 0
            )
            return self._places(place.owner, slot).plus(first + place.offset + view.offset)
        slot = self.item or slot
        ahead = " + ".join(filter(None, [slot, "rows"])) if place.ahead else slot
        base = Address(self.names[place.owner])
        return base.plus(times(ahead, self._row(place.owner)) if ahead else "", place.offset + view.offset)

    def _places(self, owner: Vector, slot: str) -> Address:
        """Say where the numbers of a place of a row begin, or those of the first place of a slot."""
        assert owner.places is not None
        source, count = self.source(owner), self.steps(owner.places)
        base, row = Address(self.regions.get(source, "") or self.names[owner]), self.place_row(owner)
        if not self.item:
            return base.plus(times(times(slot, count), row)) if slot else base
        first = base.plus(times(times(self.item, count), row))
        return first.plus(times(slot, row)) if slot else first

    def within(self) -> "Context":
        """Give the same for what is done for each place of a row's time step."""
        return replace(self, item="item")

    def all_of(self, vector: Vector, slot: str) -> Address:
        """Give the address of a vector's row."""
        return self.pointer(View(vector, 0, vector.size), slot)

    def constant(self, operand: Constant, dtype: str) -> str:
        """Name the array of some constant numbers."""
        return self.weights.numbers(operand.values, dtype, operand.name)

    def wide(self, vector: Vector) -> str:
        """Name a vector's size, rounded up to whole vectors of C."""
        columns, owner = wide(vector.size), self.owner(vector)
        if columns == vector.size:
            return self.size(vector)
        return self._named(owner, "WIDE", columns) if owner.size == vector.size else str(columns)

    def copy(self, target: Address, source: Address, view: View) -> Iterator[str]:
        """Write how a piece of a row is copied."""
        if view.size == 1:
            yield f"{target.item()} = {source.item()};"
        elif view.step:
            yield f"memcpy({target}, {source}, {self.count(view)} * sizeof({view.vector.dtype}));"
        else:
            yield f"for (int j = 0; j < {view.size}; j++) {target.plus('j').item()} = {source.item()};"
