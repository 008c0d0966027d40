"""Is a module a fold? Run it whole and step by step, and compare."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from rnn_export.errors import ModelError, class_name, mismatch
from rnn_export.module import eager
from rnn_export.module.copying import copied
from rnn_export.module.sampling import SEED, Draw, trajectory
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call, Signature, pieces
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import Array

# Why running step by step may give something else than running whole.
AHEAD = "later time steps take part (it looks ahead, runs backwards, or takes a norm over time)"
BEFORE = "something is kept outside of the state (in a list or a variable inside of forward)"
NOT_RETURNED = "forward takes a state and does not return the new one"
DISAGREES = "files that run it step by step do not agree with it"
NO_SEQUENCE = "forward takes no sequence"
PAIRS = "forward gives an output for each pair of time steps"
COUNTS = "forward takes the number of time steps of each row"
FOLD_TOLERANCE = 1e-9  # float64, over a few steps: far above rounding, far below any real dependence
STEPS = 7  # that are run one by one
LONG = 1025  # time steps that are run in pieces
ROWS = 257  # that are run in company and apart
SOME = 33  # of these: one part; the first row of each kind is a part of its own
WORK = 1 << 33  # products of numbers that a long run, or one of many rows, may take
ROUNDING = 1e-15  # relative: a change of the state as small as rounding
GRANTED = 1000.0  # times what such a change makes of a run, where it makes more than FOLD_TOLERANCE


def streaming_obstacle(subject: Subject) -> str | None:
    """Run a module whole, step by step, and in pieces, in float64, and say where they differ.

    ``None`` means that they do not: the module may be streamed.

    NaN parameters would hide a difference; random numbers take their place here.
    """
    signature = subject.signature
    if not signature.timed:
        return NO_SEQUENCE
    if not signature.returns_state:
        return NOT_RETURNED
    if any(spec.counts_steps for spec in signature.inputs):
        return COUNTS
    if signature.least > 1:
        return f"forward takes no fewer than {signature.least} time steps"
    pairs = any(spec.shape.count(TIME) > 1 for spec in signature.outputs)
    other = [
        size for spec in signature.outputs for size in spec.shape if str(size) != TIME and TIME in str(size)
    ]
    if pairs or other:
        return PAIRS if pairs else f"forward gives {other[0]} outputs for a number of time steps"
    finite = replace(subject, model=without_nan(subject.model))
    call = eager.start(finite, torch.float64)
    draw = Draw(subject, call)
    longer = (size + 1 for size in draw.sizes if size >= LONG)
    return _step_by_step(call, draw, signature) or next(
        filter(None, (_in_pieces(call, draw, subject, steps) for steps in (LONG, *longer))), None
    )


def begins_alike(subject: Subject, inner: Subject) -> bool:
    """Whether a module gives the outputs of another form of it that begins with its initial state."""
    own, other = (
        eager.start(replace(each, model=without_nan(each.model)), torch.float64) for each in (subject, inner)
    )
    draw = Draw(subject, own)
    rows = max(2, draw.kinds)
    inputs = draw.inputs(max(STEPS, subject.signature.least), rows)
    pairs = zip(own(*inputs), other(*inputs, *inner.signature.initial_state(rows)), strict=False)
    return all(distance(got, want) <= FOLD_TOLERANCE for want, got in pairs)


def check_company(arguments: Sequence[Array], subject: Subject) -> None:
    """Run the rows of a call that are finite alone, and beside each of the others, in float64.

    Args:
        arguments: of a call some of whose rows hold NaN or an infinity.
        subject: the module, without lengths.

    Raises:
        ModelError: their results differ: they depend on the company that they are in.
    """
    signature, call = subject.signature, eager.start(subject, torch.float64)
    clean = signature.finite_rows(arguments)
    kept = np.flatnonzero(clean)

    def results(rows: Array) -> list[Array]:
        given = zip(arguments, signature.arguments, strict=True)
        found = call(*(array.take(rows, spec.batch_axis) for array, spec in given))
        pairs = zip(found, signature.results, strict=True)
        return [array.take(range(len(kept)), spec.batch_axis) for array, spec in pairs]

    alone = results(kept)
    for row in np.flatnonzero(~clean):
        difference = max(map(distance, results(np.append(kept, row)), alone))
        if difference > FOLD_TOLERANCE:
            raise ModelError(
                mismatch(
                    f"{class_name(subject.original)}, the results of a row",
                    "the same in any batch",
                    f"results that differ by {difference:.1g} beside a row with a NaN or an infinity",
                    "Let no row, and no branch, depend on the others or on how many there are.",
                )
            )


def check_rows(subject: Subject) -> None:
    """Run many rows together and apart, in float64: no row may depend on the company it is in.

    Rows of large numbers are among them.

    Raises:
        ModelError: one does.
    """
    finite = replace(subject, model=without_nan(subject.model))
    call, signature = eager.start(finite, torch.float64), subject.signature
    draw = Draw(subject, call)
    steps = max(STEPS, signature.least)
    alone = draw.larger + draw.kinds
    batch = max(_rows(subject, steps, alone), *(size + 1 for size in draw.sizes), 0)
    inputs, state = draw.large_inputs(steps, draw.larger, batch - draw.larger), draw.state(batch)
    try:
        together = call(*inputs, *state)
    except ModelError:
        inputs = draw.possible(inputs)
        together = call(*inputs, *state)
    arguments = [*inputs, *state]
    edges = (*range(alone + 1), max(SOME, alone + 1), batch)
    parts = []
    for begin, end in pairwise(edges):
        rows = [
            array.take(range(begin, end), spec.batch_axis)
            for array, spec in zip(arguments, signature.arguments, strict=False)
        ]
        parts.append(call(*rows))
    for whole, spec, *apart in zip(together, signature.results, *parts, strict=True):
        difference = distance(np.concatenate(apart, spec.batch_axis), whole)
        if difference > FOLD_TOLERANCE:
            raise ModelError(
                mismatch(
                    f"{class_name(subject.original)}, the results of a row",
                    "the same in any batch",
                    f"results that differ by {difference:.1g} between a batch of {batch} and smaller ones",
                    "Let no row, and no branch, depend on the others or on how many there are.",
                )
            )


def _rows(subject: Subject, steps: int, alone: int) -> int:
    """Give the number of rows that are run together: fewer of a large net, but more than ``SOME``.

    Each of the first ones is run ``alone`` as well, and so are the others, in two parts.
    """
    work = steps * max(1, sum(parameter.numel() for parameter in subject.model.parameters()))
    return min(ROWS, max(SOME + alone + 2, WORK // work))


def _step_by_step(call: Call, draw: Draw, signature: Signature) -> str | None:
    rows = max(2, draw.kinds)
    inputs, state = draw.inputs(STEPS, rows), draw.state(rows)
    whole, count = call(*inputs, *state), len(signature.outputs)
    try:
        steps = list(trajectory(call, inputs, state, signature))
    except ModelError as error:
        return f"step by step, it fails on what it takes as a whole: {error}"
    for step, got in enumerate(steps):
        want, cause = _outputs_at(step, call, inputs, state, whole[:count], signature)
        difference = max(map(distance, got[:count], want))
        if difference > FOLD_TOLERANCE:
            where = f"step by step, the outputs first differ at time step {step}, by {difference:.1g}"
            return f"{where}: {cause}"
    difference = max(map(distance, steps[-1][count:], whole[count:]), default=0.0)
    if difference > FOLD_TOLERANCE:
        return f"step by step, the final state differs by {difference:.1g}: {AHEAD}"
    return None


def _in_pieces(call: Call, draw: Draw, subject: Subject, steps: int) -> str | None:
    """Run long sequences whole, and in pieces of 1, 2, 4, ... time steps.

    As many as the module gives numbers for: a parallel form of a recurrence may overflow in the end.
    """
    signature = subject.signature
    work = steps * max(1, sum(parameter.numel() for parameter in subject.model.parameters()))
    rows = max(1, min(draw.kinds, WORK // work))
    steps = steps if work <= WORK else STEPS
    inputs, state = draw.inputs(steps, rows), draw.state(rows)
    whole, count = call(*inputs, *state), len(signature.outputs)
    if draw.finite and not all(bool(np.isfinite(result).all()) for result in whole):
        return _in_pieces(call, draw, subject, steps // 2) if steps > STEPS else None  # it overflows itself
    parts: list[list[Array]] = []
    after: Sequence[Array] = state
    for piece in pieces(steps):
        try:
            results = call(*signature.cut(inputs, piece), *after)
        except ModelError as error:
            return f"in pieces of 1, 2, 4, ... time steps, it fails on what it takes as a whole: {error}"
        parts.append(results[:count])
        after = results[count:]
    outputs = signature.joined(parts)
    if max(map(distance, [*outputs, *after], whole)) <= FOLD_TOLERANCE:
        return None
    changed = [leaf.astype(np.float64) * (1 + ROUNDING) if leaf.dtype.kind == "f" else leaf for leaf in state]
    grown = list(map(_apart, call(*inputs, *changed), whole))
    apart = list(map(_apart, [*outputs, *after], whole))
    for place, spec in enumerate(signature.outputs):
        axis = spec.time_axis
        if axis is None:
            continue
        granted = np.maximum.accumulate(_most(grown[place], axis)) * GRANTED + FOLD_TOLERANCE
        wrong = _most(apart[place], axis) > granted
        if wrong.any():
            step = int(np.argmax(wrong))
            want, cause = _outputs_at(step, call, inputs, state, whole[:count], signature)
            difference = distance(spec.cut(outputs[place], slice(step, step + 1)), want[place])
            where = f"in pieces of 1, 2, 4, ... time steps, the outputs first differ at time step {step}"
            return f"{where}, by {difference:.1g}: {cause}"
    if max(map(np.max, apart)) > max(map(np.max, grown)) * GRANTED + FOLD_TOLERANCE:
        return f"in pieces of 1, 2, 4, ... time steps, the results of {steps} differ: {BEFORE}, or {AHEAD}"
    return None  # the net amplifies a difference as small as rounding just as much


def _outputs_at(
    step: int,
    call: Call,
    inputs: Sequence[Array],
    state: Sequence[Array],
    outputs: Sequence[Array],
    signature: Signature,
) -> tuple[list[Array], str]:
    """Give the outputs of a whole run at a time step, and why a single step may give others.

    The outputs change if the run ends at that step: later inputs took part.
    """
    ended = call(*signature.cut(inputs, slice(0, step + 1)), *state)
    want, cause = list[Array](), BEFORE
    for spec, result, last in zip(signature.outputs, outputs, ended, strict=False):
        if spec.time_axis is None:
            want.append(last)
            cause = f"{BEFORE}, or {AHEAD}" if len(signature.outputs) == 1 else cause
            continue
        then, now = (spec.cut(each, slice(step, step + 1)) for each in (result, last))
        want.append(then)
        cause = AHEAD if distance(now, then) > FOLD_TOLERANCE else cause
    return want, cause


def distance(one: Array, other: Array) -> float:
    """Give how far numbers are apart at the most, of the largest."""
    return float(_apart(one, other).max(initial=0))


def _apart(one: Array, other: Array) -> Array:
    """Give how far numbers are apart, of the largest; infinitely where one alone is NaN."""
    finite = np.where(np.isfinite(other), other, 0)
    with np.errstate(invalid="ignore"):
        apart = np.abs(np.subtract(one, other, dtype=np.float64)) / max(
            1.0, float(np.abs(finite).max(initial=0))
        )
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _most(apart: Array, axis: int) -> Array:
    """Give the largest of each time step."""
    each: Array = np.moveaxis(apart, axis, 0).reshape(apart.shape[axis], -1).max(1)
    return each


def without_nan(model: torch.nn.Module) -> torch.nn.Module:
    """Give a module, or, where parameters are NaN, a copy with random numbers for them."""
    if not any(bool(parameter.isnan().any()) for parameter in model.parameters()):
        return model
    clean = copied(model)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in clean.parameters():
            noise = torch.randn(parameter.shape, generator=generator) * 0.1
            parameter.copy_(torch.where(parameter.isnan(), noise.to(parameter.dtype), parameter))
    return clean
