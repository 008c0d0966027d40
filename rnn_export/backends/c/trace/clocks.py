"""How many time steps the values of a graph have, and the sizes that stand for them while it is traced.

The graph is run at several numbers of time steps; what its axes have then is fitted by lengths::

    x  [B, 4, T]       Conv, stride 2  ->  [B, 8, (T + 1) // 2]

C walks over each of them by a clock of its own, and over the free sizes of contexts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir

from rnn_export.backends.c.trace.symbols import SPAN
from rnn_export.program.program import Program, run_model
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import TIME, Length, fit

Shapes = dict[str, tuple[int, ...]]
MORE_STEPS = (*range(13), 16, 21, 27, 34, 41)  # above the fewest, at which a graph is run
ROWS = 2
SOME = 60  # entries of a context, more than time steps
PRIMES = (5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101)
LARGER = range(41, 1000)  # where all time steps are looked at together
FEW = 7  # time steps, of which a clock has more, so that it is seen how they follow each other


def clocks_of(program: Program, signature: Signature) -> list[Length]:
    """Find the numbers of time steps that the values of a graph have, the call's own first."""
    contexts = [Length(base=name) for name in signature.free_sizes]
    if signature.streamable:
        return [Length(), *contexts]
    sizes = {TIME: max(2 * signature.least, 8)}
    sizes |= {length.base: SOME + 2 * place for place, length in enumerate(contexts)}
    found = dict.fromkeys([Length(), *contexts])
    for base in sizes:
        found |= dict.fromkeys(_lengths(program, base, sizes))
    return list(found)


def _lengths(program: Program, base: str, sizes: dict[str, int]) -> Iterator[Length]:
    """Fit the sizes of a graph's axes, where one of the call's sizes grows and the others stay."""
    first = sizes[base]
    runs = {first + more: _shapes(program, sizes | {base: first + more}, ROWS) for more in MORE_STEPS}
    other = _shapes(program, sizes, ROWS + 1)
    for name, shape in runs[first].items():
        for axis in range(len(shape)):
            grown = {size: shapes[name][axis] for size, shapes in runs.items() if axis < len(shapes[name])}
            own = other[name][axis : axis + 1] == shape[axis : axis + 1] and len(set(grown.values())) > 1
            length = fit(grown) if own else None
            if length is not None:
                yield replace(length, base=base)


def sizes_of(clocks: list[Length], sizes: Mapping[str, int]) -> dict[int, Length]:
    """Give the clocks by the sizes that stand for them."""
    return {clock.of(sizes[clock.base]): clock for clock in clocks}


def _shapes(program: Program, sizes: Mapping[str, int], rows: int) -> Shapes:
    """Run a graph; give the shapes of its values."""
    model = program.proto()
    names = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    results = run_model(model, program.sample(sizes[TIME], rows, sizes), names)
    return {name: np.shape(result) for name, result in zip(names, results, strict=True)}


def sizes_apart(
    program: Program, clocks: list[Length], *, cut: bool
) -> tuple[set[int], Iterator[tuple[int, dict[str, int]]]]:
    """Give the sizes of a graph, and sizes for batch and time that are none of them, in several ways.

    If a sequence may be ``cut``, a few time steps are enough to see what a step does. The other free sizes
    are those of contexts.
    """
    taken: set[int] = set()
    for graph in program.model.graphs():
        values = [*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)]
        for value in values:
            shape = value.shape if value.const_value is None else value.const_value.shape
            taken |= {size for size in shape or () if isinstance(size, int)}
        for attribute in (each for node in graph for each in node.attributes.values()):
            taken |= set(attribute.as_ints()) if attribute.type is ir.AttributeType.INTS else set()
    own = [clock for clock in clocks if clock.base == TIME]
    return taken, _with_contexts(taken, clocks, _pairs(taken, own, cut=cut))


def _with_contexts(
    taken: set[int], clocks: list[Length], pairs: Iterator[tuple[int, int]]
) -> Iterator[tuple[int, dict[str, int]]]:
    """Add sizes of contexts to those of batch and time: others each time."""
    names = dict.fromkeys(clock.base for clock in clocks if clock.base != TIME)
    used: set[int] = set()
    for rows, time in pairs:
        sizes = {TIME: time}
        near = {*taken, *used, rows, *sizes_of([each for each in clocks if each.base == TIME], sizes)}
        for name in names:
            own = [clock for clock in clocks if clock.base == name]
            sizes[name] = next(size for size in LARGER if _apart(own, size, near))
            near |= {*range(sizes[name], sizes[name] + FEW), *sizes_of(own, sizes)}
            used.add(sizes[name])
        yield rows, sizes


def _apart(clocks: list[Length], size: int, near: set[int]) -> bool:
    """Whether what some clocks make of a size are sizes of their own, and not few."""
    found = {clock.of(size) for clock in clocks}
    return len(found) == len(clocks) and not found & near and min(found) > FEW and max(found) < SPAN


def _pairs(taken: set[int], clocks: list[Length], *, cut: bool) -> Iterator[tuple[int, int]]:
    """Give sizes for batch and time, at which all numbers of time steps are sizes of their own."""
    free = [size for size in PRIMES if size not in taken]
    if cut:
        yield from zip(free[::2], free[1::2], strict=False)
        return
    row, last = 0, 0
    for time in LARGER:
        if _apart(clocks, time, {*taken, free[row]}) and time > last + FEW:
            yield free[row], time
            row, last = min(row + 1, len(free) - 1), time
