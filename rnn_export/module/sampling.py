"""Inputs and states that a module can be given: not only such as its example shows.

A row of drawn inputs is of one kind, and the rows of all calls take the kinds in turn. Numbers are

- normal, as large as each feature is in the example, with its sign and, where it has whole numbers only, its
  entries;
- the example's own entries, feature by feature;
- such entries, and zeros from some time step on: padding;
- one time step's entries again and again;
- such entries, and here and there one of the constants that the module compares numbers with, or a number on
  either side of it.

Numbers many times as large, and tiny ones, are in rows of their own.

Token ids are any of those that the module takes, such with one id again and again from some time step on, one
id alone, and such with ids that the module compares with. Truth values are as often true as the example's
are, half of them, all, and none. A kind that the module fails on, or of which it makes NaN or an infinity
where it makes none of its example, is left out; of a kind that it takes in part, as one that fails on rows of
padding alone, the rows that it fails on are as others. Of several inputs each takes its own kinds in turn.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import partial
from itertools import pairwise

import numpy as np

from rnn_export.errors import ModelError
from rnn_export.module.kinds import Kind, Kinds, like
from rnn_export.module.sizes import compared_sizes
from rnn_export.module.subject import Subject
from rnn_export.module.values import assembled, compared_constants, places
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array

SEED = 20261123
LONGEST = 100  # of the example's time steps, in every batch
BATCHES = (1, 2, 5)
TRIED, TRIED_ROWS = 7, 16  # time steps and rows on which kinds are tried
TINY, TINY_ROWS = (1e-7, 1e-12, 1e-30), 2
FLUSHED = 1e-6  # numbers that are smaller are tiny
STEPS_PER_RUN = 4  # single steps taken from a run: its first, its last, and some between
TOLD_APART = 1e-5  # of what a result is as a rule: tiny numbers that change it by more are no zeros
TRIES = 8  # of drawing rows in the place of such as the module fails on
NON_FINITE = (np.nan, np.inf, -np.inf)


class Draw:
    """Random inputs and states for calls of a module, the same for the same module and example.

    Values are drawn in float32, so that eager in float32 and in float64 starts from the same numbers.
    ``sizes`` are those that the module compares the shape of its inputs with.
    """

    def __init__(self, subject: Subject, call: Call) -> None:
        self.subject, self.signature, self.call = subject, subject.signature, call
        self.random = np.random.Generator(np.random.PCG64(SEED))
        self.tried, self.turn, self.fails = max(TRIED, self.signature.least), 0, False
        constants = compared_constants(subject, call)
        self.sizes = compared_sizes(subject, call)
        self.finite = _finite(call(*(tensor.numpy() for tensor in (*subject.inputs, *subject.state))))
        example = self.signature.sizes(subject.inputs)
        self.free = {name: [example[name]] for name in self.signature.free_sizes}
        self.drawn = [
            Kinds(subject, place, call, self.random, constants) for place in range(len(subject.inputs))
        ]
        for place, each in enumerate(self.drawn):
            each.usual = [kind for kind in each.usual if self._is_taken(place, kind)] or [each.entries]
            each.larger = [kind for kind in each.larger if self._is_taken(place, kind)]
        for name, sizes in self.free.items():
            sizes += [size for size in (1, sizes[0] + 3, 2) if self._is_taken_with({name: size})]
        self.spoilt = [self._features_with_nan(place) for place in range(len(self.drawn))]
        steps, batch = max(min(subject.steps, LONGEST), self.signature.least), max(BATCHES)
        begun = self.signature.initial_state(batch)
        results = call(*self.inputs(steps, batch), *begun)
        self.reached = results[len(self.signature.outputs) :] if self.signature.returns_state else begun

    @property
    def takes_non_finite(self) -> bool:
        """Whether the module takes NaN and infinity anywhere."""
        return any(self.spoilt)

    @property
    def kinds(self) -> int:
        """How many kinds of rows there are."""
        return max(len(each.usual) for each in self.drawn)

    @property
    def larger(self) -> int:
        """How many kinds of rows of large inputs there are."""
        return max(len(each.larger) for each in self.drawn)

    def inputs(self, steps: int, batch: int) -> list[Array]:
        """Draw inputs for so many time steps and rows, the rows of all kinds in turn."""
        return self._taken(self._mixed(steps, batch))

    def changing_inputs(self, steps: int, batch: int) -> list[Array]:
        """Draw inputs of the first kind alone, whose time steps all differ: a long run settles on none."""
        return self._taken(self._rows([[each.usual[0]] * batch for each in self.drawn], steps))

    def large_inputs(self, steps: int, large: int, usual: int = 0) -> list[Array]:
        """Draw rows that are 10 and 100 times as large as the example's, in turn, and usual ones behind."""
        kinds = [
            [*(each.larger[row % len(each.larger)] for row in range(large)), *each.next(usual)]
            if each.larger
            else each.next(large + usual)
            for each in self.drawn
        ]
        return self._taken(self._rows(kinds, steps))

    def tiny_inputs(self, steps: int) -> list[list[Array]]:
        """Draw inputs of each size of tiny numbers that the module tells from zeros; others are not drawn."""
        own = copy(self)
        own.random = np.random.Generator(np.random.PCG64(SEED))  # so that no other call depends on these
        own.drawn = [each.with_random(own.random) for each in self.drawn]
        found = []
        for place, each in enumerate(own.drawn):
            for size in TINY if each.floats else ():
                kind = partial(each.tiny, size=size)
                if own._is_told_from_zeros(place, kind):
                    found.append(own._rows(own._beside(place, [kind] * TINY_ROWS), steps))
        return found

    def non_finite_inputs(self, steps: int, batch: int) -> list[Array]:
        """Draw inputs of which the first rows hold, in one number, NaN, infinity and minus infinity.

        That number is of a feature in which the module takes them: one that it reads as an id is none.
        """
        kinds = [each.next(batch) for each in self.drawn]
        sizes = self._sizes(steps, batch)
        taking = [place for place, features in enumerate(self.spoilt) if features]
        for turn, place in enumerate(taking):
            chosen = self.random.choice(self.spoilt[place], len(NON_FINITE))
            moments = self.random.integers(0, places(self.signature.inputs[place], sizes), len(NON_FINITE))
            for row, value in enumerate(NON_FINITE[:batch]):
                if row % len(taking) == turn:
                    own, at, feature = kinds[place][row], moments[row], chosen[row]
                    kinds[place][row] = partial(_spoilt, kind=own, step=at, features=feature, value=value)
        return self._taken(self._rows(kinds, steps, sizes))

    def state(self, batch: int) -> tuple[Array, ...]:
        """Draw a state: like what eager reaches from the initial state, and such rows themselves, in turn."""
        rows = self.random.integers(0, max(BATCHES), batch)
        drawn = []
        for reached, leaf in zip(self.reached, self.signature.state, strict=True):
            known = np.moveaxis(reached, leaf.batch_axis, 0).reshape(max(BATCHES), -1)
            with np.errstate(over="ignore"):  # of what grows without bound
                values = like(known, batch, self.random).astype(leaf.dtype)
            values[1::2] = known[rows][1::2]
            shape = [size for size in leaf.shape if isinstance(size, int)]
            drawn.append(np.moveaxis(values.reshape(batch, *shape), 0, leaf.batch_axis))
        return tuple(np.ascontiguousarray(leaf) for leaf in drawn)

    def ragged(self, inputs: Sequence[Array]) -> tuple[list[Array], Array]:
        """Draw the length of each row, and put NaN behind its end.

        One row has all time steps, and one of several has none.
        """
        sizes = self.signature.sizes(inputs)
        lengths = self.random.integers(0, sizes[TIME] + 1, sizes[BATCH])
        lengths[0] = sizes[TIME]
        lengths[1:2] = 0
        lengths = self.random.permutation(lengths)
        padded = [array.copy() for array in inputs]
        for array, spec in zip(padded, self.signature.inputs, strict=True):
            if array.dtype.kind == "f" and spec.time_axis is not None:
                ended = np.arange(sizes[TIME])[:, None] >= lengths
                np.moveaxis(array, (spec.time_axis, spec.batch_axis), (0, 1))[ended] = np.nan
        return padded, lengths

    def _sizes(self, steps: int, batch: int) -> dict[str, int]:
        """Give the sizes of a call, those of contexts in turn."""
        sizes = {TIME: steps, BATCH: batch}
        if self.free:
            self.turn += 1
        return sizes | {name: known[self.turn % len(known)] for name, known in self.free.items()}

    def _rows(
        self, kinds: Sequence[Sequence[Kind]], steps: int, sizes: Mapping[str, int] | None = None
    ) -> list[Array]:
        """Make inputs of kinds of rows, for each input one a row."""
        sizes = sizes or self._sizes(steps, len(kinds[0]))
        made = []
        for spec, rows in zip(self.signature.inputs, kinds, strict=True):
            drawn = [kind(sizes[TIME] if spec.counts_steps else places(spec, sizes)) for kind in rows]
            values = np.stack(drawn, axis=1)
            dtype = np.dtype(spec.dtype)
            values = values.astype(np.float32).astype(dtype) if dtype.kind == "f" else values
            made.append(assembled(values, spec, sizes))
        return made

    def possible(self, inputs: list[Array]) -> list[Array]:
        """Put rows that the module takes in the place of those that it fails on for what they hold.

        Such a row fails by itself. If all do, others are drawn; if these do as well, the cause is another.
        """
        sizes = self.signature.sizes(inputs)
        for _ in range(TRIES):
            if self._runs(inputs):
                break
            rows = range(sizes[BATCH])
            taken = [row for row in rows if self._runs(self.signature.rows(inputs, [row]))]
            if taken:
                chosen = [row if row in taken else taken[row % len(taken)] for row in rows]
                return self.signature.rows(inputs, chosen)
            inputs = self._mixed(sizes[TIME], sizes[BATCH])
        return inputs

    def _taken(self, inputs: list[Array]) -> list[Array]:
        return self.possible(inputs) if self.fails else inputs

    def _mixed(self, steps: int, batch: int) -> list[Array]:
        return self._rows([each.next(batch) for each in self.drawn], steps)

    def _runs(self, inputs: Sequence[Array]) -> bool:
        """Whether the module takes inputs."""
        try:
            self.call(*inputs, *self.signature.initial_state(self.signature.sizes(inputs)[BATCH]))
        except ModelError:
            return False
        return True

    def _beside(self, place: int, kinds: Sequence[Kind]) -> list[Sequence[Kind]]:
        """Put kinds of rows of one input beside the example's entries of the others."""
        return [
            kinds if number == place else [each.entries] * len(kinds)
            for number, each in enumerate(self.drawn)
        ]

    def _is_taken(self, place: int, kind: Kind) -> bool:
        """Whether the module takes such inputs, and gives finite numbers as it does for its example."""
        inputs = self._rows(self._beside(place, [kind] * TRIED_ROWS), self.tried)
        if self._gives_numbers(inputs):
            return True
        in_part = self._gives_numbers(self.possible(inputs))
        self.fails |= in_part
        return in_part

    def _is_taken_with(self, sizes: Mapping[str, int]) -> bool:
        """Whether the module takes contexts of other sizes."""
        known, kinds = {**self._sizes(self.tried, TRIED_ROWS), **sizes}, [self.drawn[0].entries] * TRIED_ROWS
        return self._gives_numbers(self._rows(self._beside(0, kinds), self.tried, known))

    def _gives_numbers(self, inputs: Sequence[Array]) -> bool:
        try:
            results = self.call(*inputs, *self.signature.initial_state(TRIED_ROWS))
        except ModelError:
            return False
        return _finite(results) or not self.finite

    def _is_told_from_zeros(self, place: int, kind: Kind) -> bool:
        """Whether the module takes tiny numbers, and makes something else of zeros in their place."""
        begun = self.signature.initial_state(TRIED_ROWS)
        normal = self.drawn[place].normal
        tiny, usual = (
            self._rows(self._beside(place, [each] * TRIED_ROWS), self.tried) for each in (kind, normal)
        )
        try:
            results, sizes = self.call(*tiny, *begun), self.call(*usual, *begun)
        except ModelError:
            return False
        flushed = list(tiny)
        flushed[place] = np.where(np.abs(tiny[place]) < FLUSHED, np.zeros_like(tiny[place]), tiny[place])
        try:
            zeros = self.call(*flushed, *begun)
        except ModelError:
            return True
        if not _finite(results) or not _finite(zeros):
            return _finite(results)
        changes = [np.abs(one.astype(np.float64) - other) for one, other in zip(results, zeros, strict=True)]
        return any(
            change.max() > TOLD_APART * np.abs(size).max()
            for change, size in zip(changes, sizes, strict=True)
        )

    def _features_with_nan(self, place: int) -> list[int]:
        """List the features in which the module takes NaN and infinity, whatever it makes of them."""
        each = self.drawn[place]
        if not each.floats:
            return []

        def is_taken(features: list[int]) -> bool:
            spoilt = partial(_spoilt, kind=each.entries, step=0, features=features)
            kinds = [partial(spoilt, value=value) for value in NON_FINITE]
            inputs = self._rows(self._beside(place, kinds), self.tried)
            try:
                self.call(*inputs, *self.signature.initial_state(len(kinds)))
            except ModelError:
                return False
            return True

        features = list(range(each.sample.shape[1]))
        return features if is_taken(features) else [one for one in features if is_taken([one])]


def _spoilt(steps: int, kind: Kind, step: int, features: int | list[int], value: float) -> Array:
    values = np.array(kind(steps), np.float64)
    values[step, features] = value
    return values


def _finite(results: Iterable[Array]) -> bool:
    return all(bool(np.isfinite(result).all()) for result in results if result.dtype.kind == "f")


def trajectory(
    call: Call, inputs: Sequence[Array], state: Sequence[Array], signature: Signature
) -> Iterable[list[Array]]:
    """Run step by step; give outputs and state after each."""
    for step in range(signature.sizes(inputs)[TIME]):
        result = call(*signature.cut(inputs, slice(step, step + 1)), *state)
        state = result[len(signature.outputs) :]
        yield result


def moments(
    call: Call, inputs: Sequence[Array], state: Sequence[Array], signature: Signature
) -> tuple[list[Array], list[Array]]:
    """Put some moments of a run, evenly spread, side by side as rows of one step."""
    steps, count = signature.sizes(inputs)[TIME], len(inputs)
    chosen = np.unique(np.linspace(0, steps - 1, STEPS_PER_RUN).round().astype(int))
    before = [list(state)]
    for start, end in pairwise(chosen):
        result = call(*signature.cut(inputs, slice(start, end)), *before[-1])
        before.append(result[len(signature.outputs) :])
    chosen_steps = (
        [*signature.cut(inputs, slice(step, step + 1)), *reached]
        for step, reached in zip(chosen, before, strict=True)
    )
    joined = [
        np.concatenate([part.astype(leaf.dtype) for part in parts], axis=leaf.batch_axis)
        for leaf, parts in zip(signature.arguments, zip(*chosen_steps, strict=True), strict=False)
    ]
    return joined[:count], joined[count:]
