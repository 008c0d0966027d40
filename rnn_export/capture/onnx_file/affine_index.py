"""What an integer of an ONNX graph is: a sum over the number of the iteration, sizes of tensors, and one.

Part of :mod:`rnn_export.capture.onnx_file.loop_to_scan`: an index equal to the number of the iteration reads
a sequence from its start to its end, one equal to ``length - 1 - iteration`` from its end to its start.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnn_export.program.operator_facts import int_of
from rnn_export.program.values import constant_value
from rnn_export.signature.tensors import Array

Form = dict[str, int]  # a factor for each symbol; the constant's symbol is empty
ONE = ""
ITERATION = "the iteration"
SIZE = "size "  # how the symbols of sizes begin
PASSING = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Ceil", "Floor")  # of whole numbers
WHOLE = (ir.DataType.INT32, ir.DataType.INT64)
# What holds a number of time steps. Exporters compare them as float32, which is exact up to 2 ** 24 of them.
COUNTING = (*WHOLE, ir.DataType.FLOAT, ir.DataType.DOUBLE)
# Whether the first of the two has to be the smaller one, and by how much at least.
COMPARISONS = {
    "Less": (True, 1),
    "LessOrEqual": (True, 0),
    "Greater": (False, 1),
    "GreaterOrEqual": (False, 0),
}
MOST = 16  # entries of a list that may be sizes
FAR = (1 << 31) - 1  # what exporters write for "to the end", or more


def form(value: ir.Value | None, known: Mapping[ir.Value, Form]) -> Form | None:
    """Say what a number, or a list of one, is; ``None`` where it is no such sum."""
    found = forms(value, known)
    return found[0] if found is not None and len(found) == 1 else None


def forms(value: ir.Value | None, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Say what every entry of a number or a list is."""
    if value is None or value in known:
        return [known[value]] if value is not None else None
    array, node = constant_value(value), value.producer()
    if array is not None:
        return _numbers(array)
    if node is None or node.domain:
        return None
    if node.op_type in PASSING:
        exact = node.op_type != "Cast" or node.attributes.get_int("to", 0) in COUNTING
        return forms(node.inputs[0], known) if exact else None
    rule = RULES.get(node.op_type)
    found = rule(node, known) if rule else None
    flat = value.shape is not None and len(value.shape) < 2
    return found if found is None or len(found) < 2 or flat else None


def _numbers(array: Array) -> list[Form] | None:
    few = array.ndim < 2 and array.size <= MOST and array.dtype.kind in "iuf"
    whole = few and np.isfinite(array).all() and (array == np.round(array)).all()
    return [number(int(entry)) for entry in np.atleast_1d(array)] if whole else None


def _arithmetic(node: ir.Node, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Neg, Add, Sub, Mul and Div of numbers, or of lists entry by entry; of factors, one is a number."""
    lists = [forms(value, known) for value in node.inputs]
    entries = [entry for entry in lists if entry]
    count = max(map(len, entries), default=0)
    if len(entries) < len(lists) or any(len(entry) not in (1, count) for entry in entries):
        return None
    columns = zip(*(entry * (count // len(entry)) for entry in entries), strict=True)
    found = [_computed(node.op_type, column) for column in columns]
    return [each for each in found if each is not None] if None not in found else None


def _computed(operator: str, operands: Sequence[Form]) -> Form | None:
    result = None
    match operator, operands:
        case "Neg", [one]:
            result = times(one, -1)
        case "Add", [one, other]:
            result = plus(one, other)
        case "Sub", [one, other]:
            result = minus(one, other)
        case "Mul", [factor, one] if set(factor) <= {ONE}:
            result = times(one, factor.get(ONE, 0))
        case "Mul", [one, factor] if set(factor) <= {ONE}:
            result = times(one, factor.get(ONE, 0))
        case "Div", [one, {"": 1 | -1 as sign, **rest}] if not rest:
            result = times(one, sign)
    return result


def _joined(node: ir.Node, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Concat: of numbers and lists."""
    parts = [forms(value, known) for value in node.inputs]
    return [entry for part in parts if part for entry in part] if None not in parts else None


def _chosen(node: ir.Node, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Where: of a comparison that is the same in every step."""
    condition, yes, no = node.inputs
    answer = _answer(condition, known)
    return None if answer is None else forms(yes if answer else no, known)


def _answer(value: ir.Value | None, known: Mapping[ir.Value, Form]) -> bool | None:
    """Say what a comparison gives in every step, whatever the sizes; ``None`` where that depends."""
    node = value.producer() if value is not None else None
    if node is None or node.domain or node.op_type not in COMPARISONS:
        return None
    rising, by = COMPARISONS[node.op_type]
    less, more = (form(each, known) for each in (node.inputs if rising else node.inputs[::-1]))
    if less is None or more is None:
        return None
    if is_at_least(minus(more, less), by):
        return True
    return False if is_at_least(minus(less, more), 1 - by) else None


def is_at_least(form_: Form, least: int) -> bool:
    """Whether a form is never below a number: no size is below 0, and no number of an iteration."""
    natural = all(
        factor >= 0 and (symbol == ITERATION or symbol.startswith(SIZE))
        for symbol, factor in form_.items()
        if symbol != ONE
    )
    return natural and form_.get(ONE, 0) >= least


def _part(node: ir.Node, known: Mapping[ir.Value, Form]) -> list[Form] | None:
    """Shape, and Gather or Slice with constant places from what is known."""
    if node.op_type == "Shape":
        source = node.inputs[0]
        if source is None or source.shape is None:
            return None
        start, end = int_of(node, "start"), node.attributes.get_int("end", None)
        return [size(source, axis) for axis in range(len(source.shape))][start:end]
    whole, *places = forms(node.inputs[0], known), *map(constant_value, node.inputs[1:])
    if whole is None or any(place is None for place in places):
        return None
    numbers = [np.atleast_1d(place).tolist() for place in places if place is not None]
    if node.op_type == "Gather":
        inside = all(-len(whole) <= place < len(whole) for place in numbers[0])
        return [whole[place] for place in numbers[0]] if inside else None
    start, end = numbers[:2]
    step = numbers[3] if len(numbers) > 3 else [1]
    return whole[start[0] : end[0] : step[0]]


def size(value: ir.Value, axis: int) -> Form:
    """Give the size of a tensor along an axis: a number, a name, or the axis itself as a symbol."""
    known = value.shape[axis] if value.shape is not None and axis < len(value.shape) else None
    if isinstance(known, int):
        return number(known)
    node = value.producer()
    source = node.inputs[0] if node is not None and node.inputs else None
    if node is not None and source is not None and (node.op_type == "Identity" or flipped(node) is not None):
        return size(source, axis)
    if known is not None and known.value is not None:
        return {f"{SIZE}{known.value}": 1}
    return {f"{SIZE}of axis {axis} of {value.name}": 1}


def flipped(node: ir.Node) -> int | None:
    """Give the axis, counted from the front, that a ``Slice`` with step -1 turns around as a whole."""
    if node.op_type != "Slice" or node.domain or len(node.inputs) < 5 or node.inputs[0] is None:
        return None
    places = [constant_value(value) for value in node.inputs[1:]]
    if any(place is None or place.size != 1 for place in places):
        return None
    start, end, axis, step = (int(place.item()) for place in places if place is not None)
    shape = node.inputs[0].shape
    if step != -1 or (axis < 0 and shape is None):
        return None
    axis = axis + len(shape) if axis < 0 and shape is not None else axis
    length = shape[axis] if shape is not None else None
    long = length if isinstance(length, int) else FAR
    return axis if (start == -1 or start >= long - 1) and end < -long else None


def symbol(value: ir.Value) -> Form | None:
    """Give a whole number that is not known a symbol of its own."""
    if value.name is None or value.dtype not in WHOLE or value.shape is None:
        return None
    single = len(value.shape) == 0 or (len(value.shape) == 1 and value.shape[0] == 1)
    return {f"number {value.name!r}": 1} if single else None


def name_unknown(value: ir.Value | None, body: ir.Graph, known: dict[ir.Value, Form]) -> None:
    """Give every number from outside of a body that a value of it depends on, and is not known, a symbol."""
    node = value.producer() if value is not None else None
    if node is not None and node.graph is body:
        for each in node.inputs:
            name_unknown(each, body, known)
    elif value is not None and value not in known and value not in body.inputs and form(value, known) is None:
        found = symbol(value)
        known |= {value: found} if found else {}


def number(value: int) -> Form:
    """Give a whole number as a form."""
    return {ONE: value} if value else {}


def plus(one: Form, other: Form) -> Form:
    """Add two forms."""
    total = {symbol: one.get(symbol, 0) + other.get(symbol, 0) for symbol in one | other}
    return {symbol: factor for symbol, factor in total.items() if factor}


def minus(one: Form, other: Form) -> Form:
    """Subtract one form from another."""
    return plus(one, times(other, -1))


def times(one: Form, factor: int) -> Form:
    """Multiply a form with a number."""
    return {symbol: value * factor for symbol, value in one.items() if factor}


RULES: dict[str, Callable[[ir.Node, Mapping[ir.Value, Form]], list[Form] | None]] = {
    **dict.fromkeys(("Neg", "Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("Shape", "Gather", "Slice"), _part),
    "Concat": _joined,
    "Where": _chosen,
}
