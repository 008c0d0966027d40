"""The calls that every file is tried on, and what eager PyTorch makes of them.

T in {1, 2, 7, example, a longer one} x B in {1, 2, 5} x initial and random state, whole; and single steps
from states that eager reached on each of these runs, so that errors cannot compound.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from rnn_export.golden import RUN, STEP, Case
from rnn_export.runtimes import Call, eager
from rnn_export.signature import BATCH, Array, Signature
from rnn_export.subject import Subject

SEED = 20261123
TIMES = (1, 2, 7)
BATCHES = (1, 2, 5)
STATES = ("initial", "random")
STEPS_PER_RUN = 4  # single steps taken from a run: its first, its last, and some between
# Why running step by step may give something else than running whole.
AHEAD = "later time steps take part (it looks ahead, runs backwards, or takes a norm over time)"
BEFORE = "something is kept outside of the state (in an attribute, or in a list inside of forward)"
FOLD_TOLERANCE = 1e-9  # float64, over a few steps: far above rounding, far below any real dependence


def times(example: int) -> list[int]:
    """List the lengths that are tried for an example of so many time steps.

    >>> times(100)
    [1, 2, 7, 100, 151]
    """
    return sorted({*TIMES, example, example + example // 2 + 1})


def why_whole_only(subject: Subject) -> str:
    """Run a short sequence whole and step by step, in float64, and say where they differ, if they do.

    NaN parameters would hide a difference; random numbers take their place here.
    """
    finite = replace(subject, model=_without_nan(subject.model))
    call = eager.start(finite, torch.float64)
    draw = Draw(subject, call)
    inputs, state = draw.inputs(7, 2), draw.state(2)
    outputs, *last = call(inputs, state)
    trajectory = list(_trajectory(call, inputs, state))
    for step, (step_outputs, *_) in enumerate(trajectory):
        difference = _difference(step_outputs[0], outputs[step])
        if difference > FOLD_TOLERANCE:
            where = f"step by step, the outputs first differ at time step {step}, by {difference:.1g}"
            return f"{where}: {BEFORE if step else AHEAD}"
    difference = max(map(_difference, trajectory[-1][1:], last), default=0.0)
    if difference > FOLD_TOLERANCE:
        return f"step by step, the final state differs by {difference:.1g}: {AHEAD}"
    return ""


def build(subject: Subject) -> list[Case]:
    """Run eager, in float32 and float64, over the grid."""
    single, double = eager.start(subject, torch.float32), eager.start(subject, torch.float64)
    draw = Draw(subject, single)
    cases = []
    for steps in times(subject.inputs.shape[0]):
        for batch in BATCHES:
            for kind in STATES:
                inputs = draw.inputs(steps, batch)
                state = draw.state(batch) if kind == "random" else subject.signature.initial_state(batch)
                name = f"T{steps}_B{batch}_{kind}"
                cases.append(_case(name, RUN, inputs, state, single, double))
                if subject.signature.streamable:
                    rows = _moments(single, inputs, state, subject.signature)
                    cases.append(_case(f"{name}_steps", STEP, *rows, single, double))
    return cases


class Draw:
    """Random inputs and states like those of the example: as large, and token ids among those it has.

    Values are drawn in float32, so that eager in float32 and in float64 starts from the same numbers.
    """

    def __init__(self, subject: Subject, call: Call) -> None:
        self.signature = subject.signature
        self.example = subject.inputs.numpy()
        self.random = np.random.Generator(np.random.PCG64(SEED))
        steps, batch = min(self.example.shape[0], 100), max(BATCHES)
        self.reached = call(self.inputs(steps, batch), self.signature.initial_state(batch))[1:]

    def inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs for so many time steps and rows."""
        return self._like(self.example, self.signature.inputs.sized(time=steps, batch=batch))

    def state(self, batch: int) -> tuple[Array, ...]:
        """Draw a state, each leaf as large as eager's after a run from the initial state."""
        pairs = zip(self.reached, self.signature.state, strict=True)
        return tuple(
            self._like(reached.astype(leaf.dtype), leaf.sized(batch=batch)) for reached, leaf in pairs
        )

    def _like(self, sample: Array, shape: Sequence[int]) -> Array:
        if sample.dtype.kind != "f":
            return self.random.choice(sample.ravel(), shape)
        finite = sample[np.isfinite(sample)].astype(np.float64)
        size = float(np.sqrt(np.mean(np.square(finite)))) if finite.any() else 1.0
        return (self.random.standard_normal(shape) * size).astype(np.float32).astype(sample.dtype)


def _case(name: str, kind: str, inputs: Array, state: Sequence[Array], single: Call, double: Call) -> Case:
    return Case(name, kind, inputs, tuple(state), tuple(single(inputs, state)), tuple(double(inputs, state)))


def _trajectory(call: Call, inputs: Array, state: Sequence[Array]) -> Iterable[list[Array]]:
    """Run step by step; give outputs and state after each."""
    for step in range(inputs.shape[0]):
        result = call(inputs[step : step + 1], state)
        state = result[1:]
        yield result


def _moments(
    call: Call, inputs: Array, state: Sequence[Array], signature: Signature
) -> tuple[Array, tuple[Array, ...]]:
    """Run step by step and put some moments of the run, evenly spread, side by side as rows of one step."""
    steps = inputs.shape[0]
    chosen = np.unique(np.linspace(0, steps - 1, STEPS_PER_RUN).round().astype(int))
    before = [list(state), *(result[1:] for result in _trajectory(call, inputs[:-1], state))]
    axes = [leaf.shape.index(BATCH) for leaf in signature.state]
    rows = np.concatenate([inputs[step : step + 1] for step in chosen], axis=1)
    states = (
        np.concatenate([before[step][k].astype(leaf.dtype) for step in chosen], axis=axes[k])
        for k, leaf in enumerate(signature.state)
    )
    return rows, tuple(states)


def _difference(one: Array, other: Array) -> float:
    scale = max(1.0, float(np.abs(other).max(initial=0)))
    return float(np.abs(one - other).max(initial=0)) / scale


def _without_nan(model: torch.nn.Module) -> torch.nn.Module:
    clean = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in clean.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.copy_(torch.where(parameter.isnan(), noise.to(parameter.dtype), parameter))
    return clean
