"""A call whose arrays stay where they are: what takes longer than a time step of a small net is done once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH
from rnn_export.signature.tensors import Array


@dataclass(frozen=True)
class Bound:
    """Arrays, in the signature's order, and what runs over them: it reads inputs and state, writes outputs.

    The new state stands where the old one was.
    """

    inputs: list[Array]
    state: list[Array]
    outputs: list[Array]
    run: Callable[[], object]


def bind(call: Call, signature: Signature, sizes: Mapping[str, int]) -> Bound:
    """Make arrays of some sizes for a call, in the way that its runtime has, or by copying results.

    Args:
        call: of a model that streams.
        signature: of the call.
        sizes: of all axes that are free.
    """
    own: Callable[[Mapping[str, int]], Bound | None] | None = getattr(call, "bind", None)
    bound = own(sizes) if own else None
    return bound or _copying(call, signature, sizes)


def _copying(call: Call, signature: Signature, sizes: Mapping[str, int]) -> Bound:
    inputs = [np.zeros(spec.sized(**sizes), spec.dtype) for spec in signature.inputs]
    state = [np.array(leaf) for leaf in signature.initial_state(sizes[BATCH])]
    outputs = [np.zeros(spec.sized(**sizes), spec.dtype) for spec in signature.outputs]
    lengths = [np.ones(sizes[BATCH], np.int64)] if signature.lengths else []

    def run() -> None:
        results = call(*inputs, *state, *lengths)
        for kept, result in zip((*outputs, *state), results, strict=True):
            kept[...] = result

    return Bound(inputs, state, outputs, run)
