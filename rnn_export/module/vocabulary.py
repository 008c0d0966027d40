"""How many token ids a module takes: the files would take others, and give something for them."""

from dataclasses import replace

import numpy as np
import torch

from rnn_export.module import eager
from rnn_export.module.subject import Subject
from rnn_export.module.values import alone, columns, find_ids, runs
from rnn_export.signature.tensors import InputSpec


def find_vocabularies(subject: Subject) -> tuple[InputSpec, ...]:
    """Give the inputs, those of token ids with the number of ids that the module takes."""
    return tuple(
        replace(spec, vocabulary=_vocabulary(subject, place))
        for place, spec in enumerate(subject.signature.inputs)
    )


def _vocabulary(subject: Subject, place: int) -> int | None:
    """Give the number of token ids of a module that takes ``0, 1, ...`` up to one and fails on all others.

    ``None`` if the input is no token ids, each alone in its place, or if no end was found.
    """
    signature = subject.signature
    spec = signature.inputs[place]
    if spec.dtype != "int64" or spec.counts_steps or any(isinstance(size, int) for size in spec.shape):
        return None
    call = eager.start(subject, torch.float32)
    ids = find_ids(subject, place, call)
    low, high = int(ids.low[0]), int(ids.high[0])

    def takes(token: int) -> bool:
        row = np.full_like(columns(subject, place)[:1], token)
        return runs(call, alone(subject, place, row), signature.initial_state(1))

    return high + 1 if takes(0) and low <= 0 and not takes(-1) and not takes(high + 1) else None
