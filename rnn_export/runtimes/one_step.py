"""A file of one time step, run over sequences: the state is handed from call to call."""

from collections.abc import Sequence

import numpy as np

from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import Array


def looped(step: Call, signature: Signature) -> Call:
    """Make a call of sequences out of one that takes a single time step.

    Args:
        step: takes the inputs without a time axis, the state and, where the signature has lengths, 1 for each
            row that has this time step and 0 for the others.
        signature: that of the sequences.
    """
    inputs, outputs = signature.inputs, signature.outputs

    def call(*arguments: Array) -> list[Array]:
        steps = signature.sizes(arguments[: len(inputs)])[TIME]
        lengths = arguments[-1] if signature.lengths else None
        state: Sequence[Array] = arguments[len(inputs) : len(inputs) + len(signature.state)]
        given = [
            [value] * steps if spec.time_axis is None else _apart(value, spec.time_axis)
            for spec, value in zip(inputs, arguments, strict=False)
        ]
        parts = list[list[Array]]()
        for t in range(steps):
            running = [] if lengths is None else [(lengths > t).astype(np.int64)]
            results = step(*(values[t] for values in given), *state, *running)
            part, state = results[: len(outputs)], results[len(outputs) :]
            for place, spec in enumerate(outputs):
                if spec.time_axis is None and running and parts:  # a row that had ended stays as it was
                    going_on = np.expand_dims(running[0] > 0, spec.other_axes)
                    part[place] = np.where(going_on, part[place], parts[-1][place])
            parts.append(part)
        joined = [
            several[-1] if spec.time_axis is None else np.stack(several, spec.time_axis)
            for spec, several in zip(outputs, zip(*parts, strict=True), strict=True)
        ]
        return [*joined, *state]

    return call


def _apart(value: Array, axis: int) -> list[Array]:
    """Give the time steps of a sequence, each in a piece of memory."""
    return [*np.ascontiguousarray(np.moveaxis(value, axis, 0))]
