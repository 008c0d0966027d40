"""``Einsum`` as products: of matrices where something is summed up, number by number where nothing is.

Letters of one operand that the result has not are summed up first. Then, with ``b`` for the letters of both
and of the result, ``k`` for those that are summed up, ``l`` and ``r`` for the others::

    blk, bkr -> blr        a product of matrices for each b
    bl, br -> blr          a product number by number
"""

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from rnn_export.backends.c.trace.products import matmul
from rnn_export.backends.c.trace.rules import Arguments, Rule, elementwise, reduced
from rnn_export.backends.c.trace.symbols import Symbol, Value
from rnn_export.errors import CompileError
from rnn_export.program.operator_facts import text_of
from rnn_export.signature.tensors import Array

if TYPE_CHECKING:
    from rnn_export.backends.c.trace.trace import Tracer


def _like(value: Value, array: Array) -> Value:
    return Symbol(array) if isinstance(value, Symbol) else array


def _array(value: Value) -> Array:
    return value.labels if isinstance(value, Symbol) else value


def _terms(equation: str, arguments: Sequence[Value]) -> tuple[list[str], str]:
    """Give the letters of each operand and of the result; dots stand for capital ones, Z for the last."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    given = left.split(",")
    dots = ""
    for number, letters in enumerate(given):
        if "..." in letters:
            hidden = len(arguments[number].shape) - len(letters) + 3
            own = "".join(chr(ord("Z") - k) for k in reversed(range(hidden)))
            given[number] = letters.replace("...", own)
            dots = max(dots, own, key=len)
    if not arrow:
        once = [letter for letter in "".join(given) if "".join(given).count(letter) == 1]
        right = "..." * bool(dots) + "".join(sorted(set(once) - set(dots)))
    return given, right.replace("...", dots)


def _own(tracer: "Tracer", value: Value, letters: str, kept: str) -> tuple[Value, str]:
    """Take diagonals of letters that occur twice, and sum up those that nobody else has."""
    array = _array(value)
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.rindex(letter)
            array = np.diagonal(array, axis1=first, axis2=second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    lone = [axis for axis, letter in enumerate(letters) if letter not in kept]
    value = _like(value, array)
    if lone:
        if isinstance(value, Symbol):
            value = reduced(tracer, "sum", value, lone, keep=False)
        else:
            value = value.sum(tuple(lone))
        letters = "".join(letter for letter in letters if letter in kept)
    return value, letters


def _ordered(value: Value, letters: str, wanted: str) -> Value:
    """Order the axes by letters; one that is missing has the size of 1."""
    array = _array(value)
    found = [letter for letter in wanted if letter in letters]
    array = np.transpose(array, [letters.index(letter) for letter in found])
    sizes = iter(array.shape)
    return _like(value, array.reshape([next(sizes) if letter in letters else 1 for letter in wanted]))


def _pair(tracer: "Tracer", one: tuple[Value, str], other: tuple[Value, str], kept: str) -> tuple[Value, str]:
    """Multiply two operands, and sum up the letters that are not kept."""
    (left, first), (right, second) = _own(tracer, *one, other[1] + kept), _own(tracer, *other, one[1] + kept)
    if not isinstance(left, Symbol) and not isinstance(right, Symbol):
        result = np.einsum(f"{first},{second}->{kept_of(first + second, kept)}", left, right)
        return result.astype(left.dtype), kept_of(first + second, kept)
    summed = "".join(letter for letter in first if letter in second and letter not in kept)
    result_letters = kept_of(first + second, kept)
    if not summed:
        pair = [_ordered(left, first, result_letters), _ordered(right, second, result_letters)]
        return elementwise(tracer, "Mul", list(pair)), result_letters
    if not isinstance(left, Symbol):
        (left, first), (right, second) = (right, second), (left, first)
    free = {
        letter
        for value, letters in ((left, first), (right, second))
        for letter, size in zip(letters, value.shape, strict=True)
        if size in tracer.space.free
    }
    size = dict(zip(first + second, left.shape + right.shape, strict=True))
    if any(size[letter] == tracer.space.rows or len(summed) > 1 for letter in free & set(summed)):
        raise CompileError("it sums up the rows of a batch, or time steps together with others")
    both = [letter for letter in first if letter in second and letter not in summed]
    free -= set(summed)
    front = [*sorted(free, key=(first + second).index), *(letter for letter in both if letter not in free)]
    lone = [[a for a in letters if a not in summed and a not in front] for letters in (first, second)]
    wide = _ordered(left, first, "".join([*front, *lone[0], *summed]))
    tall = _ordered(right, second, "".join([*front, *summed, *lone[1]]))
    count, rows, columns = len(front), prod(size[a] for a in lone[0]), prod(size[a] for a in lone[1])
    inner = prod(size[a] for a in summed)
    matrices = [
        _like(value, _array(value).reshape(*value.shape[:count], *shape))
        for value, shape in ((wide, (rows, inner)), (tall, (inner, columns)))
    ]
    if not isinstance(matrices[1], Symbol):
        tracer.call(matrices[1], tracer.called(right))
    product = matmul(tracer, *matrices)
    shape = [*product.shape[:count], *(size[a] for a in (*lone[0], *lone[1]))]
    return Symbol(product.labels.reshape(shape)), "".join([*front, *lone[0], *lone[1]])


def kept_of(letters: str, kept: str) -> str:
    """Give the letters that stay, each once."""
    return "".join(letter for letter in dict.fromkeys(letters) if letter in kept)


def _einsum(tracer: "Tracer", node: ir.Node, arguments: Arguments) -> list[Value]:
    """Multiply the operands one after the other."""
    given = [argument for argument in arguments if argument is not None]
    terms, wanted = _terms(text_of(node, "equation"), given)
    operands = list(zip(given, terms, strict=True))
    while len(operands) > 1:
        (one, other), rest = operands[:2], operands[2:]
        kept = reduce(str.__add__, (letters for _, letters in rest), wanted)
        operands = [_pair(tracer, one, other, kept), *rest]
    value, letters = _own(tracer, *operands[0], wanted)
    return [_ordered(value, letters, wanted)]


RULES: dict[str, Rule] = {"Einsum": _einsum}
