"""What is made for each place of a time step: single numbers in vectors of C, products, and their sums."""

from collections.abc import Iterator

from rnn_export.backends.c.plan.buffers import place_length
from rnn_export.backends.c.trace.elementwise import BOOL
from rnn_export.backends.c.trace.graph import Constant, Elementwise, Operand, Product, Vector
from rnn_export.backends.c.trace.operations import Across
from rnn_export.backends.c.write.context import Context, times
from rnn_export.backends.c.write.literals import literal, splat_text

# What is done with the next number.
TAKES = {
    "max": "result = value > result || value != value ? value : result;",
    "min": "result = value < result || value != value ? value : result;",
    "prod": "result *= value;",
}


def single_numbers(context: Context, vectors: list[Vector], count: str) -> Iterator[str]:
    """Write elementwise operations on single numbers, for as many places as fill a vector of C at once."""
    context.kernels.add("places")
    yield f"for (size_t j = 0; j < {count}; j += LANES) {{"
    for vector in vectors:
        operation = vector.operation
        assert isinstance(operation, Elementwise)
        numbers = {name: literal(value) for name, value in operation.attributes.items()}
        arguments = [_argument(context, each, vectors, count) for each in operation.operands]
        context.kernels |= {kernel.name for kernel in operation.operator.kernels}
        kind = "ivec" if vector.dtype == BOOL else "vec"
        text = operation.operator.vector.format(*arguments, **numbers)
        yield f"    const {kind} {context.names[vector]}_j = {text};"
        if vector in context.plan.stored:
            to = context.all_of(vector, "").plus("j")
            call = "istore_some" if vector.dtype == BOOL else "store_some"
            yield f"    {call}({to}, {context.names[vector]}_j, {count} - j);"
    yield "}"


def _argument(context: Context, operand: Operand, vectors: list[Vector], count: str) -> str:
    """Write what an operation reads: the same at all places, or as many numbers as are left."""
    if isinstance(operand, Constant):
        return splat_text(operand.values.item(), operand.dtype)
    if operand.vector in vectors:
        return f"{context.names[operand.vector]}_j"
    truth, pointer = operand.vector.dtype == BOOL, context.pointer(operand, "")
    if operand.vector.places is None:
        return f"{'isplat' if truth else 'splat'}({pointer.item()})"
    apart = place_length(context.source(operand.vector))
    if apart == 1:
        return f"{'iload_some' if truth else 'load_some'}({pointer.plus('j')}, {count} - j)"
    given = f"{pointer.plus(times('j', apart))}, {apart}, {count} - j"
    return f"{'iload_spaced' if truth else 'load_spaced'}({given})"


def product(context: Context, vector: Vector, operation: Product, count: str) -> Iterator[str]:
    """Write products of pairs of rows, ``[1, inner] @ [inner, 1]`` for each matrix, at all places."""
    context.kernels.add("match_places")
    sides = [(str(context.pointer(view, "")), context.row(view.vector)) for view in operation.views()]
    given = ", ".join(f"{pointer}, {row}" for pointer, row in sides)
    to = f"{context.all_of(vector, '')}, {context.row(vector)}"
    yield f"match_places({count}, {operation.matrices}, {operation.inner}, {given}, {to});"


def across(context: Context, vector: Vector, operation: Across, slot: str) -> Iterator[str]:
    """Write what is made of all places of a row."""
    views = operation.views()
    length = views[0].vector.places
    assert length is not None
    count, to = context.steps(length), context.all_of(vector, slot)
    read = [f"{context.pointer(view, slot)}, {context.place_row(view.vector)}" for view in views]
    if operation.function == "sum":
        context.kernels.add("add_up_places")
        if len(views) > 1:
            sizes = f"{vector.size // operation.each}, {operation.each}"
            yield f"weigh_places({count}, {sizes}, {', '.join(read)}, {to});"
        else:
            yield f"add_up_places({count}, {context.size(vector)}, {read[0]}, {to});"
        return
    yield f"const {vector.dtype} *from = {context.pointer(views[0], slot)};"
    yield f"{vector.dtype} *to = {to};"
    yield f"for (int m = 0; m < {context.size(vector)}; m++) {{"
    yield f"    {vector.dtype} result = from[m];"
    yield f"    for (size_t k = 1; k < {count}; k++) {{"
    yield f"        const {vector.dtype} value = from[{times('k', context.place_row(views[0].vector))} + m];"
    yield f"        {TAKES[operation.function]}"
    yield "    }"
    yield "    to[m] = result;"
    yield "}"
