"""Whether another form of a module gives what it gives."""

from collections.abc import Iterable
from itertools import chain

import numpy as np
import torch

from rnn_export.module import eager
from rnn_export.module.fold_check import FOLD_TOLERANCE
from rnn_export.module.sampling import Draw
from rnn_export.module.subject import Subject
from rnn_export.signature.sizes import BATCH

FEW = 3  # time steps of many rows


def gives_the_same(subject: Subject, inner: Subject, tried: Iterable[tuple[int, int]]) -> bool:
    """Compare the outputs of a module with those of another form of it, in float64.

    For large inputs as well, and beyond the sizes that the module itself names.

    Args:
        subject: the module.
        inner: the other form: what it takes more is a state.
        tried: the time steps and rows.
    """
    own, other = (eager.start(each, torch.float64) for each in (subject, inner))
    draw, least = Draw(subject, own), subject.signature.least
    few = max(FEW, least)
    named = [shape for size in draw.sizes for shape in ((max(size + 1, least), 1), (few, size + 1))]
    usual = (
        (draw.inputs if batch > 1 else draw.changing_inputs)(steps, batch)
        for steps, batch in (*tried, *named)
    )
    for inputs in chain([draw.large_inputs(least + FEW + 1, max(1, draw.larger))], usual):
        batch = inner.signature.sizes(inputs)[BATCH]
        given, wanted = (each.signature.initial_state(batch) for each in (inner, subject))
        for one, want in zip(other(*inputs, *given), own(*inputs, *wanted), strict=False):
            if not np.allclose(one, want, rtol=FOLD_TOLERANCE, atol=FOLD_TOLERANCE, equal_nan=True):
                return False
    return True
