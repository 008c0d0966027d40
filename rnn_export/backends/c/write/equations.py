"""What is computed, as comments: ``H = tanh(X W_xh + H W_hh + b_h)``, in the model's own names.

``x W`` is a product with a matrix, ``x * y`` one number by number; ``x[2:5]`` are some of a vector's numbers.
A state and what it becomes are one variable, as in the source. ``old_H`` is what ``H`` was before, where an
equation above has given it a new value.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rnn_export.backends.c.trace.graph import (
    Affine,
    Constant,
    Elementwise,
    Gather,
    Lookup,
    Operand,
    Operation,
    Product,
    Reduce,
    Vector,
    View,
    Weight,
)
from rnn_export.backends.c.trace.operations import Across

LOWEST, SUM, PRODUCT, ATOM = range(4)  # how tightly an expression binds
LEVELS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT}
Text = tuple[str, int]  # an expression, and how tightly it binds


@dataclass
class Equations:
    """Writes the equations of some vectors.

    Attributes:
        names: of the vectors; a state and what it becomes are one variable.
        made: the vectors.
        apart: those that have an equation of their own; others are written where they are read.
        written: those that have it by now.
    """

    names: Mapping[Vector, str]
    made: frozenset[Vector]
    apart: frozenset[Vector]
    written: set[Vector] = field(default_factory=set)

    def lines(self, vectors: Sequence[Vector]) -> Iterator[str]:
        """Write the equations in the order of the vectors."""
        for vector in vectors:
            if vector in self.apart:
                if isinstance(vector.operation, Affine):
                    text, _ = self._affine(vector, 0, vector.size)
                else:
                    text, _ = self._made(vector.operation)
                yield f"{self.names[vector]} = {text}"
                self.written.add(vector)

    def _operand(self, operand: Operand) -> Text:
        if isinstance(operand, Constant):
            number = f"{operand.values.item():g}" if operand.single else "constant"
            return operand.name or number, ATOM
        vector, part = operand.vector, _part(operand)
        looked_up = isinstance(vector.operation, Lookup) and not vector.name
        if vector in self.apart or not (vector in self.made or looked_up):
            old = vector.following is not None and vector.following.vector in self.written
            return f"{'old_' if old else ''}{self.names[vector]}{part}", ATOM
        if isinstance(vector.operation, Affine):
            return self._affine(vector, operand.offset, operand.offset + operand.count())
        text, level = self._made(vector.operation)
        return (f"({text}){part}", ATOM) if part else (text, level)

    def _made(self, operation: Operation) -> Text:
        match operation:
            case Elementwise():
                return self._elementwise(operation)
            case Product(operands=(one, other)) | Across(operands=(other, one)):
                return " @ ".join(self._bound(operand, ATOM) for operand in (one, other)), PRODUCT
            case Gather(operands=(operand,)):
                return self._operand(operand)
        inner = ", ".join(self._operand(operand)[0] for operand in operation.operands)
        match operation:
            case Lookup(table=Weight(name=name)):
                return f"{name or 'W'}[{inner}]", ATOM
            case Across(function=function) | Reduce(function=function):
                return f"{function}({inner})", ATOM
        return f"[{inner}]", ATOM

    def _bound(self, operand: Operand, level: int) -> str:
        """Write an operand, in parentheses unless it binds that tightly."""
        text, own = self._operand(operand)
        return text if own >= level else f"({text})"

    def _elementwise(self, operation: Elementwise) -> Text:
        sign, operands = operation.operator.sign, operation.operands
        if operation.kind == "Cast":
            return self._operand(operands[0])
        if operation.kind == "Neg":
            return f"-{self._bound(operands[0], ATOM)}", SUM
        if not sign:
            inner = ", ".join(self._operand(operand)[0] for operand in operands)
            return f"{operation.kind.lower()}({inner})", ATOM
        level = LEVELS.get(sign, LOWEST)
        right = level + (sign in "-/" or level == LOWEST)
        left = level + (level == LOWEST)
        return f"{self._bound(operands[0], left)} {sign} {self._bound(operands[1], right)}", level

    def _affine(self, vector: Vector, first: int, end: int) -> Text:
        """Write some columns: all products, also those that were made before, then the biases."""
        products: list[tuple[View, str]] = []
        biases: list[str] = []
        for view, name in _terms(vector, first, end):
            if view is None:
                biases.append(name)
            elif products and name == products[-1][1] and _continues(products[-1][0], view):
                begun = products.pop()[0]  # a deep product is made in several parts
                products.append((View(begun.vector, begun.offset, begun.size + view.size), name))
            else:
                products.append((view, name))
        terms = [*(f"{self._bound(view, ATOM)} {name}" for view, name in products), *biases]
        return " + ".join(terms), SUM if len(terms) > 1 else PRODUCT


def _terms(vector: Vector, first: int, end: int) -> Iterator[tuple[View | None, str]]:
    """List what is multiplied with which matrix; nothing is, where it is a bias."""
    operation = vector.operation
    assert isinstance(operation, Affine)
    if operation.start is not None:
        start, offset = operation.start.vector, operation.start.offset
        yield from _terms(start, offset + first, offset + end)
    for view, matrix in operation.parts():
        yield view, _label(matrix, first, end) or "W"
    if operation.bias is not None:
        yield None, _label(operation.bias, first, end) or "b"


def _part(view: View) -> str:
    """Say which numbers of a vector a view names, unless they are all."""
    if view.complete:
        return ""
    end = view.offset + view.count()
    return f"[{view.offset}:{end}]" if view.count() > 1 else f"[{view.offset}]"


def _label(weight: Weight, first: int, end: int) -> str:
    name = weight.columns(first, end).name
    return f"[{name}]" if ", " in name else name


def _continues(view: View, after: View) -> bool:
    return view.vector is after.vector and view.offset + view.size == after.offset


def equations(
    names: Mapping[Vector, str], vectors: Sequence[Vector], apart: frozenset[Vector] | set[Vector]
) -> list[str]:
    """Write what some vectors are.

    Args:
        names: what they are called, and those that they read.
        vectors: in order.
        apart: those that have an equation of their own. Others have one, too, where the source has a name for
            them or where several read them.
    """
    made = frozenset(vectors)
    reads = Counter(view.vector for vector in vectors for view in set(vector.operation.views()))
    own = {
        vector
        for vector in vectors
        if vector in apart
        or (not isinstance(vector.operation, Affine) and (vector.name or reads[vector] > 1))
    }
    return list(Equations(names, made, frozenset(own)).lines(vectors))
