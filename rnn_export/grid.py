"""The calls that every file is tried on, and what eager PyTorch makes of them.

T in {1, 2, 7, the example's up to 100, a longer one} x B in {1, 2, 5} x initial and random state, whole; one
row of as many time steps as a longer example has, up to 1000; and single steps from states that eager reached
on each of these runs, so that errors cannot compound.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import torch

from rnn_export import dynamics
from rnn_export.calling import copied
from rnn_export.golden import RUN, STEP, Case, Dynamics, Golden
from rnn_export.rounding import spread
from rnn_export.runtimes import Call, eager
from rnn_export.signature import BATCH, TIME, Array, Signature
from rnn_export.subject import Subject

SEED = 20261123
TIMES = (1, 2, 7)
LONGEST = 100  # of the example's time steps, in every batch
LONG = 1000  # of the example's time steps, in one row
BATCHES = (1, 2, 5)
STATES = ("initial", "random")
AMPLIFYING = 10  # times the longest run: a horizon that is nearer is that of a net that amplifies rounding
STEPS_PER_RUN = 4  # single steps taken from a run: its first, its last, and some between
# Why running step by step may give something else than running whole.
AHEAD = "later time steps take part (it looks ahead, runs backwards, or takes a norm over time)"
BEFORE = "something is kept outside of the state (in a list or a variable inside of forward)"
BETWEEN = "something is kept outside of the state (in an attribute of the module)"
NOT_RETURNED = "forward takes a state and does not return the new one"
FOLD_TOLERANCE = 1e-9  # float64, over a few steps: far above rounding, far below any real dependence


def times(example: int) -> list[int]:
    """List the lengths that are tried for an example of so many time steps.

    A long example is tried in part: the files do not know its length, and the time that an export takes is
    not to grow with it.

    >>> times(20), times(5000)
    ([1, 2, 7, 20, 31], [1, 2, 7, 100, 151])
    """
    long = min(example, LONGEST)
    return sorted({*TIMES, long, long + long // 2 + 1})


def shapes(example: int) -> list[tuple[int, int]]:
    """List the time steps and rows that are tried for an example of so many time steps.

    >>> len(shapes(20)), shapes(5000)[-1]
    (15, (1000, 1))
    """
    long = [(min(example, LONG), 1)] if example > LONGEST else []
    return [*((steps, batch) for steps in times(example) for batch in BATCHES), *long]


def why_whole_only(subject: Subject) -> str:
    """Run a short sequence whole and step by step, in float64, and say where they differ, if they do.

    NaN parameters would hide a difference; random numbers take their place here.
    """
    if not subject.signature.returns_state:
        return NOT_RETURNED
    finite = replace(subject, model=_without_nan(subject.model))
    call = eager.start(finite, torch.float64)
    draw = Draw(subject, call)
    inputs, state = draw.inputs(7, 2), draw.state(2)
    outputs, *last = call(inputs, *state)
    difference = max(map(_difference, call(inputs, *state), [outputs, *last]))
    if difference > FOLD_TOLERANCE:
        return f"two calls with the same arguments differ by {difference:.1g}: {BETWEEN}"
    trajectory = list(_trajectory(call, inputs, state, subject.signature))
    for step, (got, *_) in enumerate(trajectory):
        want, cause = _outputs_at(step, call, inputs, state, outputs, subject.signature)
        difference = _difference(got, want)
        if difference > FOLD_TOLERANCE:
            where = f"step by step, the outputs first differ at time step {step}, by {difference:.1g}"
            return f"{where}: {cause}"
    difference = max(map(_difference, trajectory[-1][1:], last), default=0.0)
    if difference > FOLD_TOLERANCE:
        return f"step by step, the final state differs by {difference:.1g}: {AHEAD}"
    return ""


def _outputs_at(
    step: int, call: Call, inputs: Array, state: Sequence[Array], outputs: Array, signature: Signature
) -> tuple[Array, str]:
    """Give the outputs of a whole run at a time step, and why a single step may give others.

    The outputs change if the run ends at that step: later inputs took part.
    """
    ended = call(signature.inputs.cut(inputs, slice(0, step + 1)), *state)[0]
    if signature.outputs.time_axis is None:
        return ended, f"{BEFORE}, or {AHEAD}"
    want, ended = (signature.outputs.cut(result, slice(step, step + 1)) for result in (outputs, ended))
    return want, AHEAD if _difference(ended, want) > FOLD_TOLERANCE else BEFORE


def build(subject: Subject) -> Golden:
    """Run eager, in float32 and float64, over the grid, and measure what the net does to rounding errors."""
    signature = subject.signature
    single, double = eager.start(subject, torch.float32), eager.start(subject, torch.float64)
    dense = eager.start(replace(subject, signature=replace(signature, lengths=False)), torch.float32)
    draw = Draw(subject, dense)
    cases = []

    def add(name: str, kind: str, inputs: Array, state: Sequence[Array]) -> None:
        time, batch = (inputs.shape[signature.inputs.shape.index(size)] for size in (TIME, BATCH))
        inputs, lengths = draw.ragged(inputs) if signature.lengths else (inputs, None)
        arguments = (inputs, *state) if lengths is None else (inputs, *state, lengths)
        results = tuple(single(*arguments)), tuple(double(*arguments))
        cases.append(Case(name, kind, time, batch, inputs, tuple(state), lengths, *results))

    for steps, batch in shapes(subject.steps):
        for kind in STATES:
            inputs = draw.inputs(steps, batch)
            state = draw.state(batch) if kind == "random" else signature.initial_state(batch)
            name = f"T{steps}_B{batch}_{kind}"
            add(name, RUN, inputs, state)
            if signature.streamable:
                first, *before = _moments(dense, inputs, state, signature)
                add(f"{name}_steps", STEP, first, before)
    return _with_rounding(cases, double, subject, Draw(subject, dense))


def _with_rounding(cases: list[Case], double: Call, subject: Subject, draw: "Draw") -> Golden:
    """Say how far rounding can take each single step, and each run if the net amplifies it.

    Of a sum of n terms it can be the square root of n times what is typical (Higham and Mary, *A new approach
    to probabilistic rounding error analysis*, SIAM J. Sci. Comput. 41, 2019): so much is granted to a step.
    """
    signature = subject.signature
    steps = [case for case in cases if case.kind == STEP]
    if not steps or not any(leaf.dtype == signature.dtype for leaf in signature.state):
        return Golden(cases)
    found_of = {case.name: spread(double, case.arguments, case.float64, signature.dtype) for case in steps}
    spreads = {name: parts for name, (parts, _) in found_of.items()}
    terms = max(number for _, number in found_of.values())
    found = _dynamics(steps, spreads, terms, subject, draw)
    most = {name: tuple(part * np.float32(sqrt(terms)) for part in parts) for name, parts in spreads.items()}
    longest = max(case.time for case in cases)
    if found.horizon is not None and found.horizon < AMPLIFYING * longest:
        for case in cases:
            if case.kind == RUN:
                most[case.name], _ = spread(double, case.arguments, case.float64, signature.dtype)
    return Golden([replace(case, rounding=most.get(case.name, ())) for case in cases], found)


def _dynamics(
    steps: Sequence[Case], spreads: dict[str, tuple[Array, ...]], terms: int, subject: Subject, draw: "Draw"
) -> Dynamics:
    signature = replace(subject.signature, lengths=False)
    call = eager.start(replace(subject, signature=signature), torch.float64)
    inputs = draw.inputs(min(max(subject.steps, LONGEST), LONG), max(BATCHES))
    state = draw.state(max(BATCHES))
    exponent = dynamics.exponent(call, inputs, state, signature, draw.random)
    pairs = [
        (error, value)
        for case in steps
        for error, value in zip(spreads[case.name][1:], case.float64[1:], strict=True)
    ]
    step_error = dynamics.relative(*zip(*pairs, strict=True))
    horizon = dynamics.horizon(exponent, step_error)
    return Dynamics(exponent, step_error, terms, dynamics.AGREEMENT, horizon)


class Draw:
    """Random inputs and states like those of the example: as large, and token ids among those it has.

    Values are drawn in float32, so that eager in float32 and in float64 starts from the same numbers.
    """

    def __init__(self, subject: Subject, call: Call) -> None:
        self.signature = subject.signature
        self.example = subject.sample.numpy()
        self.random = np.random.Generator(np.random.PCG64(SEED))
        steps, batch = min(subject.steps, LONGEST), max(BATCHES)
        begun = self.signature.initial_state(batch)
        self.reached = call(self.inputs(steps, batch), *begun)[1:] if self.signature.returns_state else begun

    def inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs for so many time steps and rows."""
        return self._like(self.example, self.signature.inputs.sized(time=steps, batch=batch))

    def state(self, batch: int) -> tuple[Array, ...]:
        """Draw a state, each leaf as large as eager's after a run from the initial state."""
        pairs = zip(self.reached, self.signature.state, strict=True)
        return tuple(
            self._like(reached.astype(leaf.dtype), leaf.sized(batch=batch)) for reached, leaf in pairs
        )

    def ragged(self, inputs: Array) -> tuple[Array, Array]:
        """Draw the length of each row, and put NaN behind its end.

        One row has all time steps, and one of several has none.
        """
        time, batch = self.signature.inputs.shape.index(TIME), self.signature.inputs.batch_axis
        lengths = self.random.integers(0, inputs.shape[time] + 1, inputs.shape[batch])
        lengths[0] = inputs.shape[time]
        lengths[1:2] = 0
        lengths = self.random.permutation(lengths)
        padded = inputs.copy()
        if inputs.dtype.kind == "f":
            np.moveaxis(padded, (time, batch), (0, 1))[np.arange(inputs.shape[time])[:, None] >= lengths] = (
                np.nan
            )
        return padded, lengths

    def _like(self, sample: Array, shape: Sequence[int]) -> Array:
        if sample.dtype.kind != "f":
            return self.random.choice(sample.ravel(), shape)
        finite = sample[np.isfinite(sample)].astype(np.float64)
        size = float(np.sqrt(np.mean(np.square(finite)))) if finite.any() else 1.0
        return (self.random.standard_normal(shape) * size).astype(np.float32).astype(sample.dtype)


def _trajectory(
    call: Call, inputs: Array, state: Sequence[Array], signature: Signature
) -> Iterable[list[Array]]:
    """Run step by step; give outputs and state after each."""
    for step in range(inputs.shape[signature.inputs.shape.index(TIME)]):
        result = call(signature.inputs.cut(inputs, slice(step, step + 1)), *state)
        state = result[1:]
        yield result


def _moments(call: Call, inputs: Array, state: Sequence[Array], signature: Signature) -> list[Array]:
    """Run step by step and put some moments of the run, evenly spread, side by side as rows of one step."""
    spec = signature.inputs
    steps = inputs.shape[spec.shape.index(TIME)]
    chosen = np.unique(np.linspace(0, steps - 1, STEPS_PER_RUN).round().astype(int))
    earlier = _trajectory(call, spec.cut(inputs, slice(0, steps - 1)), state, signature)
    before = [list(state), *(result[1:] for result in earlier)]
    moments = ([spec.cut(inputs, slice(step, step + 1)), *before[step]] for step in chosen)
    return [
        np.concatenate([part.astype(leaf.dtype) for part in parts], axis=leaf.batch_axis)
        for leaf, parts in zip(signature.arguments, zip(*moments, strict=True), strict=False)
    ]


def _difference(one: Array, other: Array) -> float:
    scale = max(1.0, float(np.abs(other).max(initial=0)))
    return float(np.abs(one - other).max(initial=0)) / scale


def _without_nan(model: torch.nn.Module) -> torch.nn.Module:
    clean = copied(model)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in clean.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.copy_(torch.where(parameter.isnan(), noise.to(parameter.dtype), parameter))
    return clean
