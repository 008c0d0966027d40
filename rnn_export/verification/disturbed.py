"""How far a run is taken by weights, inputs and constants that are off by the rounding of the net's dtype.

Eager's own error, that of few rows, says too little of a long run, of large or tiny inputs, and of a net for
whole sequences.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
import torch

from rnn_export.bundle.golden import NON_FINITE, TINY, Case
from rnn_export.module import eager
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call
from rnn_export.signature.tensors import Array
from rnn_export.verification.rounding import RoundingOfWeights, spread

COPIES = 2  # of a module, with other errors in each


class Disturbed:
    """A module in float64 with errors of eps: in its weights, and in what it computes of weights alone."""

    def __init__(self, subject: Subject, random: np.random.Generator) -> None:
        self._subject, self._random = subject, random
        self._eps = float(np.finfo(subject.signature.dtype).eps)
        self._weights = [self._off() for _ in range(COPIES)]
        self._constants: list[Call] | None = None

    def measured(self, case: Case, *, constants: bool = False) -> Case:
        """Say of a run how far rounding can take it; or rounding of what is computed of weights alone.

        The first is what weights and inputs that are off by eps make of it, times the square root of the
        number of time steps: so much can random errors add up to. The mean over T time steps, added up one
        after the other, can be off by T times as much, and is if they are all the same (Higham, *Accuracy and
        Stability of Numerical Algorithms*, section 4.2): so much is granted to what is no fold. What is
        computed of weights alone is off by the same in each time step, ``exp(a) ** T`` by T times as much; in
        a run of one time step, of which eager's own error says enough, by nothing more.
        """
        if case.values == NON_FINITE or case.rounding:
            return case
        if self._constants is None:
            self._constants = self._rounded(case)
        if constants and (case.time == 1 or not self._constants):
            return case
        largest = _distances(self._constants, case, lambda given: given)
        if not constants:
            largest = [np.fmax(*pair) for pair in zip(largest, self._of_all(case), strict=True)]
        with np.errstate(over="ignore"):
            return replace(case, rounding=tuple(most.astype(np.float32) for most in largest))

    def _of_all(self, case: Case) -> list[Array]:
        """Say how far errors in weights and inputs take a run."""
        signature = self._subject.signature
        granted = sqrt(case.time) if signature.streamable else case.time
        largest = [most * granted for most in _distances(self._weights, case, self._moved)]
        if case.values == TINY:  # of which a logarithm makes large numbers
            found, _ = spread(self._weights[0], case.arguments, case.float64, signature)
            largest = [np.fmax(most, part * granted) for most, part in zip(largest, found, strict=True)]
        return largest

    def _off(self) -> Call:
        """Give the module with weights that are off by eps, as rounding makes them."""
        model = eager.prepare(self._subject, torch.float64, own=True)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.is_floating_point():
                    noise = np.asarray(self._random.uniform(-1, 1, tuple(weight.shape)))
                    weight.mul_(torch.from_numpy(noise) * self._eps + 1)
        return eager.caller(model, self._subject, torch.float64)

    def _moved(self, given: Array) -> Array:
        """Give inputs that are off by eps."""
        if given.dtype.kind != "f":
            return given
        return given.astype(np.float64) * (1 + self._eps * self._random.uniform(-1, 1, given.shape))

    def _rounded(self, case: Case) -> list[Call]:
        """Give the module with errors in what it computes of weights alone; nothing if that is nothing."""
        model = eager.prepare(self._subject, torch.float64)
        call = eager.caller(model, self._subject, torch.float64)
        weights = [*model.parameters(), *model.buffers()]

        def rounded(seed: int) -> tuple[RoundingOfWeights, Call]:
            mode = RoundingOfWeights(weights, self._eps, seed)

            def run(*arguments: Array) -> list[Array]:
                with mode:
                    return call(*arguments)

            return mode, run

        found = [rounded(seed) for seed in range(COPIES)]
        mode, run = found[0]
        run(*case.arguments)
        return [run for _, run in found] if mode.rounded else []


def _distances(calls: Sequence[Call], case: Case, moved: Callable[[Array], Array]) -> list[Array]:
    """Give for each result of a case how far calls take it at most."""
    largest = [np.zeros(result.shape) for result in case.float64]
    for call in calls:
        results = call(*map(moved, case.inputs), *case.arguments[len(case.inputs) :])
        for most, result, exact in zip(largest, results, case.float64, strict=True):
            with np.errstate(invalid="ignore"):
                np.fmax(most, np.abs(result.astype(np.float64) - exact), out=most)
    return largest
