"""What numbers a module treats apart: token ids that it takes, and constants that it compares with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_export.errors import ModelError
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, InputSpec

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
        call(*(tensor.numpy() for tensor in (*subject.inputs, *subject.state)))
    return sorted(seen.constants)


def find_ids(subject: Subject, place: int, call: Call) -> Ids:
    """Find the ids that a module takes in one of its inputs, by trying: one that is none makes it fail.

    Where no end is found, as in a module that only compares ids, they are those of the example and one more
    on either side.
    """
    sample = columns(subject, place)
    low, high = sample.min(0), sample.max(0)
    for column in range(sample.shape[1]) if sample.shape[1] <= COLUMNS else ():

        def takes(token: int, column: int = column) -> bool:
            row = sample[:1].copy()
            row[:, column] = token
            return runs(call, alone(subject, place, row), subject.signature.initial_state(1))

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


def runs(call: Call, inputs: Sequence[Array], state: tuple[Array, ...]) -> bool:
    """Whether a call does not fail."""
    try:
        call(*inputs, *state)
    except ModelError:
        return False
    return True


def columns(subject: Subject, place: int) -> Array:
    """Give one of the example's inputs as ``[time * batch, features]``; of a context all its entries."""
    spec = subject.signature.inputs[place]
    front = _front(spec)
    moved = np.moveaxis(subject.sample[place].numpy(), front, range(len(front)))
    features = moved.shape[len(front) :]
    return moved.reshape(prod(moved.shape[: len(front)]), prod(features))


def places(spec: InputSpec, sizes: Mapping[str, int]) -> int:
    """Give the time steps of a sequence; of a context, how many entries a row has of it."""
    return prod(sizes[str(spec.shape[axis])] for axis in spec.free_axes if axis != spec.batch_axis)


def assembled(values: Array, spec: InputSpec, sizes: Mapping[str, int]) -> Array:
    """Make an input of values ``[places, batch, features]``."""
    front = _front(spec)
    free = [sizes[str(spec.shape[axis])] for axis in front[:-1]]
    features = [size for size in spec.shape if isinstance(size, int)]
    shaped = values.reshape(*free, values.shape[1], *features)
    return np.ascontiguousarray(np.moveaxis(shaped, range(len(front)), front))


def _front(spec: InputSpec) -> list[int]:
    """List the free axes, the batch last."""
    return [*(axis for axis in spec.free_axes if axis != spec.batch_axis), spec.batch_axis]


def alone(subject: Subject, place: int, row: Array) -> list[Array]:
    """Make the inputs of a call of one row: one of a single entry, the others as the example begins."""
    signature = subject.signature
    steps = max(STEPS, signature.least)
    sizes = signature.sizes(subject.sample) | {TIME: steps, BATCH: 1}
    made = []
    for number, spec in enumerate(signature.inputs):
        values = row if number == place else columns(subject, number)[:1]
        values = np.full_like(values, steps) if spec.counts_steps else values
        made.append(assembled(values[:, None].repeat(places(spec, sizes), axis=0), spec, sizes))
    return made
