"""Random inputs and states like those of the example."""

from collections.abc import Iterable, Sequence

import numpy as np

from rnn_export.module.subject import Subject
from rnn_export.signature.signature import TIME, Array, Call, Signature

SEED = 20261123
LONGEST = 100  # of the example's time steps, in every batch
BATCHES = (1, 2, 5)


class Draw:
    """Random inputs and states like those of the example: as large, and token ids among those it has.

    Values are drawn in float32, so that eager in float32 and in float64 starts from the same numbers.
    """

    def __init__(self, subject: Subject, call: Call) -> None:
        self.signature = subject.signature
        self.example = subject.sample.numpy()
        self.random = np.random.Generator(np.random.PCG64(SEED))
        steps, batch = min(subject.steps, LONGEST), max(BATCHES)
        begun = self.signature.initial_state(batch)
        self.reached = call(self.inputs(steps, batch), *begun)[1:] if self.signature.returns_state else begun

    def inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs for so many time steps and rows."""
        return self._like(self.example, self.signature.inputs.sized(time=steps, batch=batch))

    def state(self, batch: int) -> tuple[Array, ...]:
        """Draw a state, each leaf as large as eager's after a run from the initial state."""
        pairs = zip(self.reached, self.signature.state, strict=True)
        return tuple(
            self._like(reached.astype(leaf.dtype), leaf.sized(batch=batch)) for reached, leaf in pairs
        )

    def ragged(self, inputs: Array) -> tuple[Array, Array]:
        """Draw the length of each row, and put NaN behind its end.

        One row has all time steps, and one of several has none.
        """
        time, batch = self.signature.inputs.shape.index(TIME), self.signature.inputs.batch_axis
        lengths = self.random.integers(0, inputs.shape[time] + 1, inputs.shape[batch])
        lengths[0] = inputs.shape[time]
        lengths[1:2] = 0
        lengths = self.random.permutation(lengths)
        padded = inputs.copy()
        if inputs.dtype.kind == "f":
            np.moveaxis(padded, (time, batch), (0, 1))[np.arange(inputs.shape[time])[:, None] >= lengths] = (
                np.nan
            )
        return padded, lengths

    def _like(self, sample: Array, shape: Sequence[int]) -> Array:
        if sample.dtype.kind != "f":
            return self.random.choice(sample.ravel(), shape)
        finite = sample[np.isfinite(sample)].astype(np.float64)
        size = float(np.sqrt(np.mean(np.square(finite)))) if finite.any() else 1.0
        return (self.random.standard_normal(shape) * size).astype(np.float32).astype(sample.dtype)


def trajectory(
    call: Call, inputs: Array, state: Sequence[Array], signature: Signature
) -> Iterable[list[Array]]:
    """Run step by step; give outputs and state after each."""
    for step in range(inputs.shape[signature.inputs.shape.index(TIME)]):
        result = call(signature.inputs.cut(inputs, slice(step, step + 1)), *state)
        state = result[1:]
        yield result
