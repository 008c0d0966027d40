"""The calls that every file is tried on, and what eager PyTorch makes of them.

T in {1, 2, 7, the example's up to 100, a longer one} x B in {1, 2, 5} x initial and random state, whole; one
row of as many time steps as a longer example has, up to 1000; inputs 10 and 100 times as large; tiny ones,
where the module tells them from zeros; and single steps from states that eager reached on each of these runs,
so that errors cannot compound.

Whatever the example: one row of 300, 1025 and 4097 time steps, 33 and 257 rows of a few, as long as that
neither takes too many numbers nor is beyond what can be compared; and rows with NaN and infinities beside
others.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np
import torch

from rnn_export.bundle.golden import LARGE, NON_FINITE, ORDINARY, RUN, STEP, TINY, Case, Dynamics, Golden
from rnn_export.errors import ModelError, VerificationError, class_name, mismatch
from rnn_export.module import eager
from rnn_export.module.fold_check import check_company
from rnn_export.module.sampling import BATCHES, LONGEST, TINY_ROWS, Draw, moments
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array
from rnn_export.verification.disturbed import Disturbed
from rnn_export.verification.rounding import undecided
from rnn_export.verification.single_steps import AMPLIFYING, with_rounding

TIMES = (1, 2, 7)
LONG = 1000  # of the example's time steps, in one row
SHORTEST = 32  # time steps over which it is measured what a large net makes of rounding
STATES = ("initial", "random")
FEW = 3  # time steps of many rows
FAR = ((300, 1), (1025, 1), (4097, 1), (FEW, 33), (FEW, 257))  # time steps and rows
MOST_NUMBERS = 1 << 17  # of the inputs and outputs of such a run
MOST_OF_ALL = 1 << 21  # of those of the runs that are no such ones, for each kind of state
LEAST_SHAPES = 4  # that are tried all the same
FREE_SHAPES = 9  # that are tried however many weights there are: several T, and B in {1, 2, 5}
MOST_WORK = 1 << 32  # products of numbers that such a run, or all others together, may take
LEAST_DECIDED = 0.5  # of results that are not floats
LEAST_FINITE = 0.9  # of eager's results, where those of the example are finite


def times(example: int, least: int = 1, *, timed: bool = True) -> list[int]:
    """List the lengths that are tried for an example of so many time steps; none below ``least``.

    A long example is tried in part: the files do not know its length, and the time that an export takes is
    not to grow with it. A call without a sequence is one time step.

    >>> times(20), times(5000)
    ([1, 2, 7, 20, 31], [1, 2, 7, 100, 151])
    """
    if not timed:
        return [1]
    long = min(example, LONGEST)
    return sorted({max(steps, least) for steps in (*TIMES, long, long + long // 2 + 1)})


def shapes(example: int, least: int = 1, *, timed: bool = True) -> list[tuple[int, int]]:
    """List the time steps and rows that are tried for an example of so many time steps.

    >>> len(shapes(20)), shapes(5000)[-1]
    (15, (1000, 1))
    """
    long = [(min(example, LONG), 1)] if example > LONGEST else []
    return [*((steps, batch) for steps in times(example, least, timed=timed) for batch in BATCHES), *long]


def _affordable(found: Sequence[tuple[int, int]], subject: Subject) -> list[tuple[int, int]]:
    """Leave out the largest time steps and rows of a model with very many numbers at each, or weights.

    Some time steps and some rows stay, whatever they take: that both are free is seen on these.
    """
    units, room, work = _units(subject), MOST_OF_ALL, MOST_WORK
    kept = set[tuple[int, int]]()
    for steps, batch in sorted(found, key=prod):
        room -= steps * batch * units(steps)
        work -= steps * batch * _weights(subject)
        affordable = room >= 0 and (work >= 0 or len(kept) < FREE_SHAPES)
        if affordable or len(kept) < LEAST_SHAPES:
            kept.add((steps, batch))
    return [shape for shape in found if shape in kept]


def _longest(tried: Sequence[tuple[int, int]], batch: int) -> list[int]:
    """Give the two largest numbers of time steps that are tried with so many rows, or with the most.

    >>> _longest([(1, 1), (7, 1), (1, 5), (7, 5), (20, 5), (31, 2), (1000, 1)], 4)
    [7, 20]
    """
    rows = min(batch, max(some for _, some in tried))
    return sorted({steps for steps, some in tried if some >= rows})[-2:]


def _length(subject: Subject) -> int:
    """Give the time steps over which it is measured what a net makes of rounding: fewer of a large one."""
    long = min(max(subject.steps, LONGEST), LONG)
    return min(long, max(SHORTEST, MOST_WORK // max(1, _weights(subject) * 2 * max(BATCHES))))


def _weights(subject: Subject) -> int:
    """Count the weights: as many products as a time step of a row takes."""
    return sum(parameter.numel() for parameter in subject.model.parameters())


def _units(subject: Subject) -> Callable[[int], int]:
    """Count the numbers of inputs and outputs of a row, at each of some time steps."""
    signature = subject.signature
    one = signature.sizes(subject.inputs) | {TIME: 1, BATCH: 1}
    specs = (*signature.inputs, *signature.outputs)
    sizes = [(prod(spec.sized(**one)), max(0, spec.shape.count(TIME) - 1)) for spec in specs]
    return lambda steps: sum(size * steps**more for size, more in sizes)


def build(subject: Subject, *, quick: bool = False) -> Golden:
    """Run eager, in float32 and float64, over the grid, and measure what the net does to rounding errors.

    If it is to be ``quick``, the grid is that of a short example, and nothing is tried beyond.
    """
    golden, others, random = _called(subject, quick=quick)
    complete = _with_disturbances([*golden.cases, *others], len(golden.cases), subject, random)
    if any(np.dtype(spec.dtype).kind != "f" for spec in subject.signature.results):
        double = eager.start(subject, torch.float64)
        complete = [_with_undecided(found, double, subject.signature) for found in complete]
        _check_decided(complete, subject)
    return replace(golden, cases=complete)


def _called(subject: Subject, *, quick: bool) -> tuple[Golden, list[Case], np.random.Generator]:
    """Run eager over the grid, and beyond; give what draws from then on.

    Its copies of the module, each as large as the weights, end with it: what follows makes others.
    """
    example = min(subject.steps, TIMES[-1]) if quick else subject.steps
    signature = subject.signature
    single, double = eager.start(subject, torch.float32), eager.start(subject, torch.float64)
    dense = eager.start(replace(subject, signature=replace(signature, lengths=False)), torch.float32)
    draw = Draw(subject, dense)

    def case(
        name: str, kind: str, inputs: Sequence[Array], state: Sequence[Array], values: str = ORDINARY
    ) -> Case:
        sizes = signature.sizes(inputs)
        inputs, lengths = draw.ragged(inputs) if signature.lengths else (inputs, None)
        own = () if lengths is None else (lengths,)
        try:
            first = single(*inputs, *state, *own)
        except ModelError:
            inputs = draw.possible(list(inputs))
            first = single(*inputs, *state, *own)
        results = tuple(first), tuple(double(*inputs, *state, *own))
        given = tuple(inputs), tuple(state), lengths
        return Case(name, kind, sizes[TIME], sizes[BATCH], *given, *results, values=values)

    def run(name: str, inputs: Sequence[Array], state: Sequence[Array], values: str = ORDINARY) -> list[Case]:
        found = [case(name, RUN, inputs, state, values)]
        if signature.streamable:
            first, before = moments(dense, inputs, state, signature)
            found.append(case(f"{name}_steps", STEP, first, before, values))
        return found

    short = max(TIMES[-1], signature.least)
    cases = []
    tried = _affordable(shapes(example, signature.least, timed=signature.timed), subject)
    for steps, batch in tried:
        for kind in STATES:
            inputs = draw.inputs(steps, batch)
            state = draw.state(batch) if kind == "random" else signature.initial_state(batch)
            cases += run(f"T{steps}_B{batch}_{kind}", inputs, state)
    for steps in _longest(tried, 2 * draw.larger) if draw.larger else ():
        batch = 2 * draw.larger
        found = run(f"T{steps}_B{batch}_large", draw.large_inputs(steps, batch), draw.state(batch), LARGE)
        cases += found if _finite_share(found) == 1 else []
    for number, inputs in enumerate(draw.tiny_inputs(short)):
        begun = signature.initial_state(TINY_ROWS)
        found = run(f"T{short}_B{TINY_ROWS}_tiny_{number}", inputs, begun, TINY)
        cases += found if _finite_share(found) == 1 else []
    if draw.finite and (share := _finite_share(cases)) < LEAST_FINITE:
        raise VerificationError(
            mismatch(
                f"golden values of {class_name(subject.original)}",
                f"{LEAST_FINITE:.0%} to be finite, as those of the example are",
                f"{share:.0%}",
                "Files that give NaN are compared with NaN, which proves nothing. Nothing was written.",
            )
        )
    golden = with_rounding(cases, double, subject, Draw(subject, dense), _length(subject))
    others = [
        case(
            f"T{steps}_B{batch}_random",
            RUN,
            (draw.inputs if batch > 1 else draw.changing_inputs)(steps, batch),
            draw.state(batch),
        )
        for steps, batch in (() if quick else _far(draw.sizes, signature))
        if _is_in_reach(steps, batch, subject, golden.dynamics)
    ]
    if draw.finite:  # a module that overflows in the end is no reference there
        others = [other for other in others if _finite_share([other]) == 1]
    if draw.finite and draw.takes_non_finite:
        spoilt = draw.non_finite_inputs(short, max(BATCHES))
        name = f"T{short}_B{max(BATCHES)}_non_finite"
        begun = signature.initial_state(max(BATCHES))
        check_company([*spoilt, *begun], replace(subject, signature=replace(signature, lengths=False)))
        beside = case(name, RUN, spoilt, begun, NON_FINITE)
        others += [beside] if _keeps_to_rows(beside, signature) else []
    return golden, others, draw.random


def _with_disturbances(
    cases: Sequence[Case], near: int, subject: Subject, random: np.random.Generator
) -> list[Case]:
    """Say of each run how far rounding can take it, if eager's own error says too little.

    Args:
        cases: of ordinary values, those of the example's sizes first.
        near: how many these are.
        subject: the module.
        random: draws the errors.
    """
    disturbed, streams = Disturbed(subject, random), subject.signature.streamable
    return disturbed.measured(
        cases, lambda number, case: streams and number < near and case.values not in (LARGE, TINY)
    )


def _with_undecided(case: Case, double: Call, signature: Signature) -> Case:
    """Say of a case which whole numbers and truth values rounding may turn into others."""
    large = case.values == LARGE
    found = undecided(double, case.arguments, case.float64, signature, of_largest=large)
    pairs = [
        one != other for one, other in zip(case.float32, case.float64, strict=True) if one.dtype.kind != "f"
    ]
    return replace(case, undecided=tuple(np.logical_or(*each) for each in zip(found, pairs, strict=True)))


def _check_decided(cases: Sequence[Case], subject: Subject) -> None:
    """Refuse a net of which too many whole numbers and truth values are as rounding has it.

    Raises:
        VerificationError: it is one.
    """
    for kind in (RUN, STEP):
        arrays = [
            each for case in cases if (case.kind, case.values) == (kind, ORDINARY) for each in case.undecided
        ]
        share = sum(map(np.sum, arrays)) / max(1, sum(each.size for each in arrays))
        if share > 1 - LEAST_DECIDED:
            raise VerificationError(
                mismatch(
                    f"whole numbers and truth values that {class_name(subject.original)} gives",
                    f"at most {1 - LEAST_DECIDED:.0%} that rounding can turn into others",
                    f"{share:.0%}",
                    "Implementations differ where numbers that are alike are compared. Return the numbers.",
                )
            )


def _keeps_to_rows(case: Case, signature: Signature) -> bool:
    """Whether a NaN or an infinity of one row leaves the results of the others numbers."""
    clean = np.flatnonzero(signature.finite_rows(case.inputs))
    results = zip(case.float64, signature.results, strict=True)
    return all(bool(np.isfinite(array.take(clean, spec.batch_axis)).all()) for array, spec in results)


def _finite_share(cases: Sequence[Case]) -> float:
    """Give the share of eager's results that are finite, rows with NaN in their inputs left out."""
    results = [
        array
        for case in cases
        if case.values != NON_FINITE
        for array in (*case.float32, *case.float64)
        if array.dtype.kind == "f"
    ]
    total = sum(array.size for array in results)
    return sum(int(np.isfinite(array).sum()) for array in results) / total if total else 1.0


def _far(sizes: Sequence[int], signature: Signature) -> list[tuple[int, int]]:
    """List time steps and rows that are tried whatever the example, beyond sizes that the module names."""
    least = signature.least
    few = max(FEW, least)
    longest, widest = (max(sizes) for sizes in zip(*FAR, strict=True))
    longer = [(size + 1, 1) for size in sizes if size >= longest]
    far = [*FAR, *longer, *((few, size + 1) for size in sizes if size >= widest)]
    far = far if signature.timed else [(1, batch) for _, batch in far if batch > 1]
    return [(max(steps, least), batch) for steps, batch in far]


def _is_in_reach(steps: int, batch: int, subject: Subject, found: Dynamics | None) -> bool:
    """Whether so many time steps and rows are few enough to be run and kept, and can be compared."""
    units, work = _units(subject)(steps), _weights(subject)
    horizon = None if found is None else found.horizon
    return (
        steps * batch * units <= MOST_NUMBERS
        and steps * batch * work <= MOST_WORK
        and (horizon is None or horizon >= AMPLIFYING * steps)
    )
