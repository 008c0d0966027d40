"""How many token ids a module takes: the files would take others, and give something for them."""

import numpy as np
import torch

from rnn_export.module import eager
from rnn_export.module.subject import Subject
from rnn_export.module.values import assembled, columns, find_ids, runs


def find_vocabulary(subject: Subject) -> int | None:
    """Give the number of token ids of a module that takes ``0, 1, ...`` up to one and fails on all others.

    ``None`` if its inputs are no token ids, each alone in its time step, or if no end was found.
    """
    signature = subject.signature
    sizes = [size for size in signature.inputs.shape if isinstance(size, int)]
    if signature.inputs.dtype != "int64" or sizes:
        return None
    call = eager.start(subject, torch.float32)
    ids = find_ids(subject, call)
    low, high = int(ids.low[0]), int(ids.high[0])

    def takes(token: int) -> bool:
        row = np.full_like(columns(subject)[:1], token)
        return runs(call, assembled(row[:, None], subject), signature.initial_state(1))

    return high + 1 if takes(0) and low <= 0 and not takes(-1) and not takes(high + 1) else None
