"""How far a run is taken by weights, inputs and constants that are off by the rounding of the net's dtype.

Eager's own error, that of few rows, says too little of a long run, of large or tiny inputs, and of a net for
whole sequences.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import torch

from rnn_export.bundle.golden import NON_FINITE, RUN, TINY, Case
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
        self._seeds = [self._drawn() for _ in range(COPIES)]
        self._constants: list[Call] | None = None

    def measured(self, cases: Sequence[Case], near: Callable[[int, Case], bool]) -> list[Case]:
        """Say of runs how far rounding can take them; or rounding of what is computed of weights alone.

        The first is what weights and inputs that are off by eps make of it, times the square root of the
        number of time steps: so much can random errors add up to. The mean over T time steps, added up one
        after the other, can be off by T times as much, and is if they are all the same (Higham, *Accuracy and
        Stability of Numerical Algorithms*, section 4.2): so much is granted to what is no fold. What is
        computed of weights alone is off by the same in each time step, ``exp(a) ** T`` by T times as much; in
        a run of one time step, of which eager's own error says enough, by nothing more.

        Args:
            cases: runs, and others, of which nothing is said.
            near: whether the second is enough for a run, which has a number among the cases.
        """
        asked = {
            number: case
            for number, case in enumerate(cases)
            if case.kind == RUN and case.values != NON_FINITE and not case.rounding
        }
        for case in [*asked.values()][:1]:
            self._constants = self._rounded(case)
        far = {number: case for number, case in asked.items() if not near(number, case)}
        found = {
            number: _distances(self._constants or [], case)
            for number, case in asked.items()
            if number in far or (case.time > 1 and self._constants)
        }
        for number, largest in self._of_all(far).items():
            found[number] = [np.fmax(*pair) for pair in zip(found[number], largest, strict=True)]
        with np.errstate(over="ignore"):
            return [
                replace(case, rounding=tuple(most.astype(np.float32) for most in found[number]))
                if number in found
                else case
                for number, case in enumerate(cases)
            ]

    def _of_all(self, cases: Mapping[int, Case]) -> dict[int, list[Array]]:
        """Say how far errors in weights and inputs take runs: one copy of the module after the other."""
        moved = {
            number: [[*map(self._moved, case.inputs)] for _ in range(COPIES)]
            for number, case in cases.items()
        }
        largest = dict[int, list[Array]]()
        for copy in range(COPIES if cases else 0):
            inputs = {number: moved[number][copy] for number in cases}
            for number, apart in self._of_copy(copy, cases, inputs).items():
                before = largest.get(number, apart)
                largest[number] = [np.fmax(*pair) for pair in zip(before, apart, strict=True)]
        return largest

    def _of_copy(
        self, copy: int, cases: Mapping[int, Case], inputs: Mapping[int, Sequence[Array]]
    ) -> dict[int, list[Array]]:
        """Say how far one copy takes runs, each of inputs that are off."""
        signature, call = self._subject.signature, self._off(self._seeds[copy])
        largest = dict[int, list[Array]]()
        for number, case in cases.items():
            granted = sqrt(case.time) if signature.streamable else case.time
            apart = [most * granted for most in _distances([call], case, inputs[number])]
            if case.values == TINY and not copy:  # of which a logarithm makes large numbers
                found, _ = spread(call, case.arguments, case.float64, signature)
                apart = [np.fmax(most, part * granted) for most, part in zip(apart, found, strict=True)]
            largest[number] = apart
        return largest

    def _drawn(self) -> dict[str, Any]:
        """Draw the errors of a copy's weights; give the state of the generator that draws them again."""
        state: dict[str, Any] = dict(self._random.bit_generator.state)
        for weight in self._subject.model.parameters():
            if weight.is_floating_point():
                self._random.uniform(-1, 1, tuple(weight.shape))
        return state

    def _off(self, state: dict[str, Any]) -> Call:
        """Give the module with weights that are off by eps, as rounding makes them."""
        model = eager.prepare(self._subject, torch.float64, own=True)
        random = np.random.Generator(type(self._random.bit_generator)())
        random.bit_generator.state = state
        with torch.no_grad():
            for weight in model.parameters():
                if weight.is_floating_point():
                    noise = np.asarray(random.uniform(-1, 1, tuple(weight.shape)))
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


def _distances(calls: Sequence[Call], case: Case, inputs: Sequence[Array] | None = None) -> list[Array]:
    """Give for each result of a case how far calls take it at most, of its own inputs or of others."""
    largest = [np.zeros(result.shape) for result in case.float64]
    given = case.inputs if inputs is None else inputs
    for call in calls:
        results = call(*given, *case.arguments[len(case.inputs) :])
        for most, result, exact in zip(largest, results, case.float64, strict=True):
            with np.errstate(invalid="ignore"):
                np.fmax(most, np.abs(result.astype(np.float64) - exact), out=most)
    return largest
