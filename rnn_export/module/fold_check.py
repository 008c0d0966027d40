"""Is a module a fold? Run it whole and step by step, and compare."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from rnn_export.module import eager
from rnn_export.module.sampling import SEED, Draw, trajectory
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import copied
from rnn_export.signature.signature import Array, Call, Signature

# Why running step by step may give something else than running whole.
AHEAD = "later time steps take part (it looks ahead, runs backwards, or takes a norm over time)"
BEFORE = "something is kept outside of the state (in a list or a variable inside of forward)"
NOT_RETURNED = "forward takes a state and does not return the new one"
FOLD_TOLERANCE = 1e-9  # float64, over a few steps: far above rounding, far below any real dependence


def streaming_obstacle(subject: Subject) -> str | None:
    """Run a short sequence whole and step by step, in float64, and say where they differ.

    ``None`` means that they do not: the module may be streamed.

    NaN parameters would hide a difference; random numbers take their place here.
    """
    if not subject.signature.returns_state:
        return NOT_RETURNED
    finite = replace(subject, model=_without_nan(subject.model))
    call = eager.start(finite, torch.float64)
    draw = Draw(subject, call)
    inputs, state = draw.inputs(7, 2), draw.state(2)
    outputs, *last = call(inputs, *state)
    steps = list(trajectory(call, inputs, state, subject.signature))
    for step, (got, *_) in enumerate(steps):
        want, cause = _outputs_at(step, call, inputs, state, outputs, subject.signature)
        difference = _difference(got, want)
        if difference > FOLD_TOLERANCE:
            where = f"step by step, the outputs first differ at time step {step}, by {difference:.1g}"
            return f"{where}: {cause}"
    difference = max(map(_difference, steps[-1][1:], last), default=0.0)
    if difference > FOLD_TOLERANCE:
        return f"step by step, the final state differs by {difference:.1g}: {AHEAD}"
    return None


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
