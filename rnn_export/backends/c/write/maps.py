"""What is done for one row by operations on maps of features and by choices."""

from collections.abc import Iterator

import numpy as np

from rnn_export.backends.c.plan.plan import scratch
from rnn_export.backends.c.trace.elementwise import FLOAT
from rnn_export.backends.c.trace.graph import Vector, Weight
from rnn_export.backends.c.trace.operations import Convolution, Pick, Put, Ranked, Rows
from rnn_export.backends.c.write.context import Address, Context, times
from rnn_export.backends.c.write.pack import Groups

NARROW = 2  # channels of a group, up to which each number is summed up by itself
# Whether a number stands before another one; NaN is the largest.
BEFORE = {True: "(({0}) > ({1}){2})", False: "(({0}) < ({1}){3})"}
NAN = (" || (({0}) != ({0}) && ({1}) == ({1}))", " || (({1}) != ({1}) && ({0}) == ({0}))")


def convolution(context: Context, vector: Vector, operation: Convolution, slot: str) -> Iterator[str]:
    """Write a convolution, group by group."""
    [operand], window = operation.views(), operation.window
    groups, columns, channels = len(operation.matrices), operation.columns, operation.channels
    own, name = channels // groups, operation.matrices[0].name
    sizes = [own, *(each for pair in (window.sizes, window.kernel, window.strides) for each in pair)]
    sizes += [*window.dilations, *window.before, *window.results, columns]
    alone, kernels, biases = columns <= NARROW, context.weights, operation.biases
    if alone:
        flat = np.concatenate([matrix.values.T.ravel() for matrix in operation.matrices])
        weights = [kernels.packed(flat.astype(np.float32), name or "kernel")]
        begin = np.concatenate([bias.values for bias in biases])
        call = "convolve_alone"
        steps: tuple[int, ...] = operation.depth * columns, columns
        context.kernels.add(call)
        kernels.keep(name, flat.shape)
    else:
        wide = -(-columns // 16) * 16
        every = np.concatenate([matrix.values for matrix in operation.matrices], 1)
        stored = kernels.matrix(Weight.of(every.astype(np.float32), name or "kernel"), Groups(groups))
        begin = np.concatenate([np.pad(bias.values, (0, wide - columns)) for bias in biases])
        call, weights = context.kernel("convolve", stored), stored.arrays
        steps = stored.rows(operation.depth) * wide, *[wide] * len(weights)
    bias = kernels.packed(begin.astype(np.float32), biases[0].name or "zeros")
    arrays = [context.pointer(operand, slot), *weights, bias]
    moves = own * window.sizes[0] * window.sizes[1], *steps
    given = [
        f"{array} + group * {step}" if groups > 1 else str(array)
        for array, step in zip(arrays, moves, strict=True)
    ]
    to = f"{context.all_of(vector, slot)}{f' + group * {columns * window.count}' if groups > 1 else ''}"
    if not alone:
        patches, sums = scratch(operation)
        if context.plan.room.outside:
            place = Address("buffers").plus(times("rows", context.plan.room.behind))
            yield f"float *const patches = {place}, *const totals = patches + {patches};"
        else:
            yield f"float patches[{patches}], totals[{sums}]; /* of {sums // steps[1]} places */"
        given += ["patches", "totals"]
    line = f"{call}({', '.join([*map(str, sizes), *given, to])});"
    yield from [f"for (int group = 0; group < {groups}; group++)", f"    {line}"] if groups > 1 else [line]


def several(context: Context, vector: Vector, operation: Rows, slot: str) -> Iterator[str]:
    """Write a product of several rows of numbers with one matrix."""
    [operand], matrix = operation.views(), operation.matrix
    inner, columns = matrix.values.shape
    stored = context.weights.matrix(matrix)
    filled = -(-columns // 16) * 16
    bias = context.weights.vector(np.zeros(columns, np.float32), "zeros")
    numbers = f"{context.pointer(operand, slot)}, {inner}, {', '.join(stored.arrays)}"
    begin = context.product(1, str(operation.count), f"{inner}, {filled}", (inner, filled), stored)
    yield f"{begin}, {numbers}, {bias}, {context.all_of(vector, slot)}, {filled});"


def pick(context: Context, vector: Vector, operation: Pick, slot: str) -> Iterator[str]:
    """Write how numbers are chosen by their places."""
    numbers, places = operation.views()
    count = operation.count
    first = f"m / {operation.each} * {count} + " if vector.size > operation.each else ""
    index = f"index[{'m' if places.step else '0'}]"
    place = f"{first}at" if numbers.step else "0"
    yield f"const {vector.dtype} *from = {context.pointer(numbers, slot)};"
    yield f"const int64_t *index = {context.pointer(places, slot)};"
    yield f"{vector.dtype} *to = {context.all_of(vector, slot)};"
    yield f"for (int m = 0; m < {vector.size}; m++) {{"
    yield f"    const int64_t at = {index} < 0 ? {index} + {count} : {index};"
    yield f"    to[m] = at >= 0 && at < {count} ? from[{place}] : 0;"
    yield "}"


PUT = {
    "": "to[place] = update[m];",
    "add": "to[place] += update[m];",
    "max": "to[place] = update[m] > to[place] || update[m] != update[m] ? update[m] : to[place];",
    "min": "to[place] = update[m] < to[place] || update[m] != update[m] ? update[m] : to[place];",
    "mul": "to[place] *= update[m];",
}


def put(context: Context, vector: Vector, operation: Put, slot: str) -> Iterator[str]:
    """Write how some numbers are replaced by others."""
    numbers, places, updates = operation.views()
    count = operation.count
    yield f"const int64_t *index = {context.pointer(places, slot)};"
    yield f"const {vector.dtype} *update = {context.pointer(updates, slot)};"
    yield f"{vector.dtype} *to = {context.all_of(vector, slot)};"
    yield f"memcpy(to, {context.pointer(numbers, slot)}, {vector.size} * sizeof({vector.dtype}));"
    yield f"for (int m = 0; m < {updates.size}; m++) {{"
    yield f"    const int64_t at = index[m] < 0 ? index[m] + {count} : index[m];"
    first = f"m / {operation.each} * {count} + " if vector.size > count else ""
    yield f"    const int64_t place = {first}at;"
    yield f"    if (at >= 0 && at < {count}) {PUT[operation.function]}"
    yield "}"


def ranked(context: Context, vector: Vector, operation: Ranked, slot: str) -> Iterator[str]:
    """Write how the places of the largest or smallest are found, each time the first behind the last one."""
    [operand], count = operation.views(), operation.count
    dtype = operand.vector.dtype

    def before(one: str, other: str) -> str:
        nan = [text.format(one, other) if dtype == FLOAT else "" for text in NAN]
        return BEFORE[operation.largest].format(one, other, *nan)

    yield f"const {dtype} *from = {context.pointer(operand, slot)};"
    yield f"int64_t *to = {context.all_of(vector, slot)};"
    yield f"for (int m = 0; m < {vector.size // operation.kept}; m++, from += {count})"
    yield f"    for (int n = 0, last = -1; n < {operation.kept}; n++) {{"
    yield "        int best = -1;"
    yield f"        for (int j = 0; j < {count}; j++) {{"
    yield f"            const int behind = last < 0 || {before('from[last]', 'from[j]')} ||"
    yield f"                (j > last && !{before('from[j]', 'from[last]')});"
    yield f"            if (behind && (best < 0 || {before('from[j]', 'from[best]')})) best = j;"
    yield "        }"
    yield "        *to++ = last = best;"
    yield "    }"
