"""A module that takes the number of time steps of each row, as one that streams.

::

    net(x, n) -> y                         net(x, n, (h, c)) -> y, (h, c)

Run on rows that have all time steps, ``n = T``, it may be a fold, with its state as any other. The files
then take the numbers as ``lengths``, in every call those of the time steps of that call. What stands behind a
row's end is what the module has there, if that is the same for all rows and time steps: zeros, a padding
value, or what a layer behind makes of these. That the module does so is checked by running both.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from rnn_export.errors import ModelError, RnnExportError
from rnn_export.module import eager
from rnn_export.module.fold_check import FOLD_TOLERANCE, STEPS, distance, without_nan
from rnn_export.module.naming import INPUTS, Names
from rnn_export.module.reading import look_again
from rnn_export.module.sampling import Draw
from rnn_export.module.subject import Subject
from rnn_export.module.unpacked import FullRows
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import InputSpec, OutputSpec

EVERYTHING = slice(None)
TRIED = ((STEPS, 5), (31, 3), (1, 2))  # time steps and rows on which both are compared


def of_full_rows(subject: Subject) -> Subject | None:
    """Give a module run on rows that have all time steps, without the inputs that count them.

    ``None`` if it has none, or several, or does not run so.
    """
    signature = subject.signature
    counting = [spec.counts_steps for spec in signature.inputs]
    if counting.count(True) != 1:
        return None
    left = [spec for spec in signature.inputs if not spec.counts_steps]
    time, batch = tuple(spec.time_axis for spec in left), tuple(spec.batch_axis for spec in left)
    model = FullRows(subject.model, counting, time, batch).eval()
    inputs, sample = (
        tuple(each for each, counts in zip(tensors, counting, strict=True) if not counts)
        for tensors in (subject.inputs, subject.sample)
    )
    try:
        found = look_again(subject, model, inputs, subject.state or None, _names(signature, left))
    except RnnExportError:
        return None
    return replace(found, sample=sample)


def _names(signature: Signature, left: Sequence[InputSpec]) -> Names:
    """Name what is left of a call; an input that is left alone is called as any that is."""
    own = [spec.name for spec in left]
    called = {own[0]: INPUTS} if len(own) == 1 else {name: name for name in own}
    states = [spec.name for spec in signature.state]
    return Names(
        tuple(called.values()),
        tuple(states),
        tuple(spec.name for spec in signature.outputs),
        tuple(called.get(name, name) for name in signature.takes if name in (*own, *states)),
        signature.gives,
    )


def with_row_ends(subject: Subject, full: Subject) -> Subject | None:
    """Let the files of a module on full rows take lengths, if they then do what the module does.

    Args:
        subject: takes the number of time steps of each row among its inputs.
        full: the same on rows that have all time steps, which is a fold.

    Gives ``full`` with lengths and with what stands behind a row's end; ``None`` if the module does something
    else with rows that end.
    """
    call = _started(subject)
    try:
        outputs = _paddings(call, Draw(subject, call), subject, full.signature.outputs)
        if outputs is None:
            return None
        ended = replace(full, signature=replace(full.signature, outputs=outputs, lengths=True))
        return ended if _alike(subject, call, ended) else None
    except ModelError:
        return None


def _started(subject: Subject) -> Call:
    return eager.start(replace(subject, model=without_nan(subject.model)), torch.float64)


def _paddings(
    call: Call, draw: Draw, subject: Subject, outputs: Sequence[OutputSpec]
) -> tuple[OutputSpec, ...] | None:
    """Find what stands behind the end of a row of one time step; ``None`` if that is no number."""
    inputs, found = draw.inputs(STEPS, 2), list[OutputSpec]()
    counting = [spec.counts_steps for spec in subject.signature.inputs].index(True)
    inputs[counting] = np.ones_like(inputs[counting])
    for spec, values in zip(outputs, call(*inputs, *draw.state(2)), strict=False):
        if spec.time_axis is None:
            found.append(spec)
            continue
        ended = values[tuple({TIME: STEPS - 1, BATCH: 0}.get(str(size), EVERYTHING) for size in spec.shape)]
        if not np.isfinite(ended).all():
            return None
        alike = bool((ended == ended.flat[0]).all())
        if not alike and any(size not in (TIME, BATCH) for size in spec.shape if isinstance(size, str)):
            return None
        found.append(replace(spec, padding=ended.flat[0].item() if alike else ended.tolist()))
    return tuple(found)


def _alike(subject: Subject, call: Call, ended: Subject) -> bool:
    """Whether a module, and its form that takes lengths, give the same for rows that end apart.

    The final states as well, if the module itself has them.
    """
    other, signature = _started(ended), subject.signature
    draw = Draw(subject, call)
    for steps, rows in TRIED:
        inputs = draw.possible(draw.inputs(steps, rows))
        state = draw.state(rows)
        begun = state or ended.signature.initial_state(rows)
        pairs = list(zip(inputs, signature.inputs, strict=True))
        left, [counts] = (
            [array for array, spec in pairs if spec.counts_steps == wanted] for wanted in (False, True)
        )
        results = zip(call(*inputs, *state), other(*left, *begun, counts), strict=False)
        if any(distance(got, want) > FOLD_TOLERANCE for want, got in results):
            return False
    return True
