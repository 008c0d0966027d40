"""What numbers a module treats apart: token ids that it takes, and constants that it compares with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_export.errors import ModelError
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Array, Call

MOST_IDS = 1 << 20  # of a vocabulary that are looked for
COLUMNS = 16  # of token ids: the vocabularies of so many are looked for apart
STEPS = 2  # time steps of a call that tries an id

aten = torch.ops.aten
# What compares numbers with a constant, and which of its arguments may be one.
COMPARING: dict[Any, tuple[int, ...]] = {
    **{getattr(aten, name): (0, 1) for name in ("eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum")},
    **{getattr(aten, name): (1, 2) for name in ("clamp", "clamp_", "hardtanh", "threshold")},
    **{getattr(aten, name): (1,) for name in ("clamp_min", "clamp_max", "heaviside")},
}


@dataclass(frozen=True)
class Ids:
    """The token ids that a module takes, ``low`` to ``high``, the latter included; for each feature."""

    low: Array
    high: Array


class Compared(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the constants that numbers are compared with while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.constants: set[float] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation as it is."""
        kwargs = kwargs or {}
        for place in COMPARING.get(function.overloadpacket, ()):
            value = args[place] if place < len(args) else None
            if isinstance(value, torch.Tensor) and value.dim() == 0:
                value = value.item()
            if isinstance(value, int | float) and np.isfinite(value):
                self.constants.add(float(value))
        return function(*args, **kwargs)


def compared_constants(subject: Subject, call: Call) -> list[float]:
    """Run a module on its example, and list the constants that it compares numbers with."""
    with Compared() as seen:
        call(*(tensor.numpy() for tensor in (subject.inputs, *subject.state)))
    return sorted(seen.constants)


def find_ids(subject: Subject, call: Call) -> Ids:
    """Find the ids that a module takes, by trying: one that is none makes it fail.

    Where no end is found, as in a module that only compares ids, they are those of the example and one more
    on either side.
    """
    sample = columns(subject)
    low, high = sample.min(0), sample.max(0)
    for column in range(sample.shape[1]) if sample.shape[1] <= COLUMNS else ():

        def takes(token: int, column: int = column) -> bool:
            row = sample[:1].repeat(max(STEPS, subject.signature.least), axis=0)
            row[:, column] = token
            return runs(call, assembled(row[:, None], subject), subject.signature.initial_state(1))

        low[column] = 0 if low[column] > 0 and takes(0) else low[column]
        high[column] = _largest(takes, int(high[column]))
    return Ids(low, high)


def _largest(takes: Callable[[int], bool], known: int) -> int:
    """Give the largest id that is taken: twice as many until one is not, then halfway between."""
    good, bad = known, max(2 * known, 2)
    while takes(bad):
        good, bad = bad, 2 * bad
        if bad > MOST_IDS:
            return known + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if takes(middle) else (good, middle)
    return good


def runs(call: Call, inputs: Array, state: tuple[Array, ...]) -> bool:
    """Whether a call does not fail."""
    try:
        call(inputs, *state)
    except ModelError:
        return False
    return True


def columns(subject: Subject) -> Array:
    """Give the inputs of the example as ``[time * batch, features]``."""
    spec = subject.signature.inputs
    axes = [spec.shape.index(size) for size in ("time", "batch")]
    moved = np.moveaxis(subject.sample.numpy(), axes, (0, 1))
    return moved.reshape(moved.shape[0] * moved.shape[1], -1)


def assembled(values: Array, subject: Subject) -> Array:
    """Make inputs of values ``[time, batch, features]``."""
    spec = subject.signature.inputs
    axes = [spec.shape.index(size) for size in ("time", "batch")]
    features = [size for size in spec.shape if isinstance(size, int)]
    return np.ascontiguousarray(np.moveaxis(values.reshape(*values.shape[:2], *features), (0, 1), axes))
