"""Which calls a file of others answers: sizes that have to be equal, and how large they have to be.

The names of sizes are what an exporter declared. Some give one name to sizes that are not one, such as the
name of every size that is free, others give each axis a name of its own::

    declared     x: float[N,N,4], h: float[N,5]     x: float[a,b,4], h: float[c,5]
    found        x: float[N,N_2,4], h: float[N_2,5] x: float[a,b,4], h: float[b,5]

Here they are found by trying: which sizes can be others while the rest stays.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import onnx_ir as ir

from rnn_export.errors import OnnxFileError
from rnn_export.program.program import AS_ASKED, Program, Sampling, sampled
from rnn_export.runtimes.model_runs import DeadRunError, RunError

MOST = 8  # free sizes that are told apart: there are 2 ** 8 ways to choose some of them
EQUAL = (4, 16, 64)  # a size that all may have, tried in order
OTHER = 1  # what is added to those that are tried out
STEPS = (0, 1, 3, 7, 15, 31)  # time steps and rows above the usual ones, tried in order
MANY = 1 << 30  # more time steps than there are: what counts them is 1
Axis = tuple[str, int]  # an input, and its axis


def told_apart(given: Program) -> Program:
    """Name the free sizes of a Program's inputs so that those have one name that have to be equal.

    They stay as declared where each has a name of its own and the file runs so, and where that cannot be
    found out.
    """
    declared = _free_axes(given)
    apart = {axis: EQUAL[0] + place for place, axis in enumerate(declared)}
    try:
        for fewer in _counts(given):
            with sampled(Sampling(fewer=fewer)):
                if len({*declared.values()}) == len(declared) and _answers(given, apart):
                    return given
                classes = _classes(given, list(declared)) if len(declared) <= MOST else []
            if classes:
                return _named(given, classes, declared)
    except DeadRunError:
        return given
    return given


def trial_of(given: Program, calls: Sequence[tuple[int, int]]) -> tuple[Program, Sampling, str]:
    """Say how to try a Program out: with which names of sizes, and how to draw calls that it answers.

    If there is no way, the last result says why.
    """
    sampling, reason, ends = _sampling(given, calls)
    if ends:
        return given, AS_ASKED, reason
    apart = told_apart(given)
    if apart is not given:
        sampling, reason, _ = _sampling(apart, calls)
    return apart, sampling, reason


def _sampling(given: Program, calls: Sequence[tuple[int, int]]) -> tuple[Sampling, str, bool]:
    """Say how to draw calls, or why not to, and whether not to try anything else either."""
    larger = dict.fromkeys((a * n, b * n) for n in STEPS for a, b in ((1, 0), (0, 1), (1, 1)))
    first = ""
    for more, fewer in product(larger, _counts(given)):
        with sampled(Sampling(more, fewer)):
            reason, ends = _fault(given, calls)
        if not reason:
            return Sampling(more, fewer), "", False
        first = first or reason
        if ends:
            return AS_ASKED, first, True
    return AS_ASKED, first, False


def _fault(given: Program, calls: Sequence[tuple[int, int]]) -> tuple[str, bool]:
    """Say why a Program does not answer calls, if it does not, and whether no others need to be tried."""
    for time, batch in calls:
        try:
            given.run(given.sample(time, batch))
        except OnnxFileError as error:
            return str(error), True
        except RunError as error:
            reason = str(error).partition("\n")[0]
            where = f"random inputs of {time} time steps and {batch} rows"
            return f"it cannot be run on {where}: {reason}", isinstance(error, DeadRunError)
    return "", False


def _counts(given: Program) -> tuple[int | None, ...]:
    """Give what numbers without an axis may be, if there are any: see :class:`Sampling`."""
    single = [value for value in given.model.graph.inputs if value.shape is not None and not len(value.shape)]
    kinds = [value.dtype for value in single if value.dtype is not None]
    counted = any(kind.is_integer() or kind == ir.DataType.BOOL for kind in kinds)
    return (1, 0, MANY, None) if counted else (None,)


def _free_axes(given: Program) -> dict[Axis, str]:
    """Give the name of every free size of the inputs; one without a name is called after its axis."""
    return {
        (str(value.name), axis): size.value or f"axis {axis} of {value.name}"
        for value in given.model.graph.inputs
        for axis, size in enumerate(value.shape or ())
        if isinstance(size, ir.SymbolicDim)
    }


def _classes(given: Program, axes: Sequence[Axis]) -> list[tuple[Axis, ...]]:
    """Find the smallest sets of sizes that can be others while the rest stays; nothing if there are none."""
    equal = next((size for size in EQUAL if _answers(given, dict.fromkeys(axes, size))), None)
    if equal is None:
        return []
    found: list[tuple[Axis, ...]] = []
    for count in range(1, len(axes)):
        rest = [axis for axis in axes if not any(axis in known for known in found)]
        for some in combinations(rest, count):
            untouched = not any(axis in known for axis in some for known in found)
            others = dict.fromkeys(axes, equal) | dict.fromkeys(some, equal + OTHER)
            if untouched and _answers(given, others):
                found.append(some)
    rest = [axis for axis in axes if not any(axis in known for known in found)]
    return [*found, tuple(rest)] if rest else found


def _named(given: Program, classes: Sequence[tuple[Axis, ...]], declared: Mapping[Axis, str]) -> Program:
    """Give each set of sizes a name: one that is declared for it, and for no set before."""
    taken: set[str] = set()
    named: dict[Axis, str] = {}
    for some in sorted(classes, key=lambda each: min(list(declared).index(axis) for axis in each)):
        name = declared[some[0]]
        while name in taken:
            name += "_"
        taken.add(name)
        named |= dict.fromkeys(some, name)
    return _shaped(given, named)


def _answers(given: Program, sizes: Mapping[Axis, int]) -> bool:
    try:
        given.run(_shaped(given, sizes).sample(EQUAL[0], 1))
    except DeadRunError:
        raise
    except (RunError, OnnxFileError):
        return False
    return True


def _shaped(given: Program, sizes: Mapping[Axis, int | str]) -> Program:
    """Give a Program whose inputs have other free sizes."""
    program = given.copy()
    for value in program.model.graph.inputs:
        if value.shape is not None:
            value.shape = ir.Shape(
                [sizes.get((str(value.name), axis), size) for axis, size in enumerate(value.shape)]
            )
    return program
