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
id alone, and such with ids that the module compares with. A kind that the module fails on, or of which it
makes NaN or an infinity where it makes none of its example, is left out.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial

import numpy as np

from rnn_export.errors import ModelError
from rnn_export.module.sizes import compared_sizes
from rnn_export.module.subject import Subject
from rnn_export.module.values import assembled, columns, compared_constants, find_ids
from rnn_export.signature.signature import Array, Call, Signature
from rnn_export.signature.sizes import TIME

SEED = 20261123
LONGEST = 100  # of the example's time steps, in every batch
BATCHES = (1, 2, 5)
OFTEN = 0.2  # the share of entries of a row that are near constants which the module compares with
TRIED, TRIED_ROWS = 7, 16  # time steps and rows on which kinds are tried
LARGER = (10.0, 100.0)  # times what the example has
TINY, TINY_ROWS = (1e-7, 1e-12, 1e-30), 2
FLUSHED = 1e-6  # numbers that are smaller are tiny
TOLD_APART = 1e-5  # of what a result is as a rule: tiny numbers that change it by more are no zeros
NON_FINITE = (np.nan, np.inf, -np.inf)
Kind = Callable[[int], Array]  # from a number of time steps to values [time, features]


class Draw:
    """Random inputs and states for calls of a module, the same for the same module and example.

    Values are drawn in float32, so that eager in float32 and in float64 starts from the same numbers.
    ``sizes`` are those that the module compares the shape of its inputs with.
    """

    def __init__(self, subject: Subject, call: Call) -> None:
        self.subject, self.signature, self.call = subject, subject.signature, call
        self.sample = columns(subject)
        self.random = np.random.Generator(np.random.PCG64(SEED))
        self.turn, self.tried = 0, max(TRIED, self.signature.least)
        floats = self.sample.dtype.kind == "f"
        constants = compared_constants(subject, call)
        self.sizes = compared_sizes(subject, call)
        self.finite = _finite(call(*(tensor.numpy() for tensor in (subject.inputs, *subject.state))))
        kinds = self._kinds_of_numbers(constants) if floats else self._kinds_of_ids(constants)
        self.kinds = [kind for kind in kinds if self._is_taken(kind)] or [self._entries]
        larger = [partial(self._normal, factor=factor) for factor in LARGER] if floats else []
        self.larger = [kind for kind in larger if self._is_taken(kind)]
        self.spoilt = self._features_with_nan() if floats else []
        steps, batch = max(min(subject.steps, LONGEST), self.signature.least), max(BATCHES)
        begun = self.signature.initial_state(batch)
        self.reached = call(self.inputs(steps, batch), *begun)[1:] if self.signature.returns_state else begun

    def inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs for so many time steps and rows, the rows of all kinds in turn."""
        return self._rows([self._next_kind() for _ in range(batch)], steps)

    def changing_inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs of the first kind alone, whose time steps all differ: a long run settles on none."""
        return self._rows([self.kinds[0]] * batch, steps)

    def large_inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs that are 10 and 100 times as large as the example's, row by row in turn."""
        return self._rows([self.larger[row % len(self.larger)] for row in range(batch)], steps)

    def tiny_inputs(self, steps: int) -> list[Array]:
        """Draw inputs of each size of tiny numbers that the module tells from zeros; others are not drawn."""
        if self.sample.dtype.kind != "f":
            return []
        own = copy(self)
        own.random = np.random.Generator(np.random.PCG64(SEED))  # so that no other call depends on these
        kinds = [partial(own._tiny, size=size) for size in TINY]
        return [own._rows([kind] * TINY_ROWS, steps) for kind in kinds if own._is_told_from_zeros(kind)]

    def non_finite_inputs(self, steps: int, batch: int) -> Array:
        """Draw inputs of which the first rows hold, in one number, NaN, infinity and minus infinity.

        That number is of a feature in which the module takes them: one that it reads as an id is none.
        """
        kinds = [self._next_kind() for _ in range(batch)]
        chosen = self.random.choice(self.spoilt, len(NON_FINITE))
        moments = self.random.integers(0, steps, len(NON_FINITE))
        spoilt = [
            partial(_spoilt, kind=kind, step=step, features=feature, value=value)
            for kind, step, feature, value in zip(kinds, moments, chosen, NON_FINITE, strict=False)
        ]
        return self._rows([*spoilt, *kinds[len(spoilt) :]], steps)

    def state(self, batch: int) -> tuple[Array, ...]:
        """Draw a state: like what eager reaches from the initial state, and such rows themselves, in turn."""
        rows = self.random.integers(0, max(BATCHES), batch)
        drawn = []
        for reached, leaf in zip(self.reached, self.signature.state, strict=True):
            known = np.moveaxis(reached, leaf.batch_axis, 0).reshape(max(BATCHES), -1)
            with np.errstate(over="ignore"):  # of what grows without bound
                values = _like(known, batch, self.random).astype(leaf.dtype)
            values[1::2] = known[rows][1::2]
            shape = [size for size in leaf.shape if isinstance(size, int)]
            drawn.append(np.moveaxis(values.reshape(batch, *shape), 0, leaf.batch_axis))
        return tuple(np.ascontiguousarray(leaf) for leaf in drawn)

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

    def _next_kind(self) -> Kind:
        self.turn += 1
        return self.kinds[(self.turn - 1) % len(self.kinds)]

    def _rows(self, kinds: Sequence[Kind], steps: int) -> Array:
        values = np.stack([kind(steps) for kind in kinds], axis=1)
        dtype = self.sample.dtype
        return assembled(
            values.astype(np.float32).astype(dtype) if dtype.kind == "f" else values, self.subject
        )

    def _is_taken(self, kind: Kind) -> bool:
        """Whether the module takes such inputs, and gives finite numbers as it does for its example."""
        inputs = self._rows([kind] * TRIED_ROWS, self.tried)
        try:
            results = self.call(inputs, *self.signature.initial_state(TRIED_ROWS))
        except ModelError:
            return False
        return _finite(results) or not self.finite

    def _is_told_from_zeros(self, kind: Kind) -> bool:
        """Whether the module takes tiny numbers, and makes something else of zeros in their place."""
        begun = self.signature.initial_state(TRIED_ROWS)
        tiny, usual = (self._rows([each] * TRIED_ROWS, self.tried) for each in (kind, self._normal))
        try:
            results, sizes = self.call(tiny, *begun), self.call(usual, *begun)
        except ModelError:
            return False
        try:
            zeros = self.call(np.where(np.abs(tiny) < FLUSHED, np.zeros_like(tiny), tiny), *begun)
        except ModelError:
            return True
        if not _finite(results) or not _finite(zeros):
            return _finite(results)
        changes = [np.abs(one.astype(np.float64) - other) for one, other in zip(results, zeros, strict=True)]
        return any(
            change.max() > TOLD_APART * np.abs(size).max()
            for change, size in zip(changes, sizes, strict=True)
        )

    def _features_with_nan(self) -> list[int]:
        """List the features in which the module takes NaN and infinity, whatever it makes of them."""

        def is_taken(features: list[int]) -> bool:
            spoilt = partial(_spoilt, kind=self._entries, step=0, features=features)
            kinds = [partial(spoilt, value=value) for value in NON_FINITE]
            try:
                self.call(self._rows(kinds, self.tried), *self.signature.initial_state(len(kinds)))
            except ModelError:
                return False
            return True

        features = list(range(self.sample.shape[1]))
        return features if is_taken(features) else [each for each in features if is_taken([each])]

    def _kinds_of_numbers(self, constants: Sequence[float]) -> list[Kind]:
        kinds: list[Kind] = [self._normal, self._entries, self._ended, self._constant]
        size = float(np.nan_to_num(np.abs(self.sample)).mean()) or 1.0
        near = [c + offset * max(abs(c), size) for c in constants for offset in (-0.5, 0.0, 0.5)]
        if near:
            kinds.append(partial(self._sprinkled, kind=self._entries, values=np.array(near)))
        return kinds

    def _kinds_of_ids(self, constants: Sequence[float]) -> list[Kind]:
        ids = find_ids(self.subject, self.call)
        known = {int(c) + offset for c in constants for offset in (-1, 0, 1) if c == int(c)}
        apart = [token for token in sorted(known) if (token >= ids.low).all() and (token <= ids.high).all()]
        any_id = partial(self._ids, low=ids.low, high=ids.high)
        kinds: list[Kind] = [any_id, partial(self._repeated, kind=any_id), partial(self._alone, kind=any_id)]
        kinds += [partial(self._repeated, kind=any_id, token=token) for token in apart]
        if apart:
            kinds.append(partial(self._sprinkled, kind=any_id, values=np.array(apart)))
        return kinds

    def _normal(self, steps: int, factor: float = 1.0) -> Array:
        return _like(self.sample, steps, self.random, factor)

    def _tiny(self, steps: int, size: float) -> Array:
        """Draw numbers of a size with each feature's sign; whole numbers stay such."""
        values = self._normal(steps)
        tiny = np.sign(values) * np.minimum(np.abs(values), size * self.random.uniform(0.5, 1, values.shape))
        return np.where(_is_whole(self.sample), values, tiny)

    def _entries(self, steps: int) -> Array:
        return _entries(self.sample, steps, self.random)

    def _ended(self, steps: int) -> Array:
        values = self._entries(steps)
        values[self._end(steps) :] = 0
        return values

    def _constant(self, steps: int) -> Array:
        return self._alone(steps, self._entries)

    def _alone(self, steps: int, kind: Kind) -> Array:
        return kind(1).repeat(steps, axis=0)

    def _sprinkled(self, steps: int, kind: Kind, values: Array) -> Array:
        """Draw entries with some of certain values among them: single ones, and whole time steps.

        A feature that holds whole numbers keeps to those between its own.
        """
        drawn = kind(steps)
        chosen = np.less(self.random.random(drawn.shape), OFTEN)
        chosen[self.random.integers(0, steps)] = True
        special = self.random.choice(values, drawn.shape)
        if self.sample.dtype.kind == "f":
            low, high = self.sample.min(0), self.sample.max(0)
            own = (special == np.round(special)) & (low <= special) & (special <= high)
            chosen &= own | ~_is_whole(self.sample)
        return np.where(chosen, special, drawn)

    def _ids(self, steps: int, low: Array, high: Array) -> Array:
        return self.random.integers(low, high, (steps, len(low)), endpoint=True)

    def _repeated(self, steps: int, kind: Kind, token: int | None = None) -> Array:
        values = kind(steps)
        values[self._end(steps) :] = kind(1) if token is None else token
        return values

    def _end(self, steps: int) -> int:
        """Draw the time step from which on a row is padding."""
        return int(self.random.integers(1, max(steps, 2)))


def _spoilt(steps: int, kind: Kind, step: int, features: int | list[int], value: float) -> Array:
    values = np.array(kind(steps), np.float64)
    values[step, features] = value
    return values


def _like(known: Array, number: int, random: np.random.Generator, factor: float = 1.0) -> Array:
    """Draw numbers like known ones, ``[number, features]``, of each feature's size, sign and kind."""
    entries = _entries(known, number, random)
    if known.dtype.kind != "f":
        return entries
    finite = np.where(np.isfinite(known), known, 0.0).astype(np.float64)
    size = np.sqrt(np.mean(np.square(finite), axis=0))
    if finite.min() == finite.max():  # an example of zeros or ones says nothing
        size = np.where(size > 0, size, 1.0)
        return np.asarray(random.standard_normal((number, known.shape[1])) * size * factor)
    values = random.standard_normal((number, known.shape[1])) * np.where(size > 0, size, 1.0) * factor
    values = np.where((finite > 0).all(0) | ((finite >= 0).all(0) & (size > 0)), np.abs(values), values)
    values = np.where((finite <= 0).all(0) & (size > 0), -np.abs(values), values)
    whole = _is_whole(finite)
    if not whole.any():
        return values
    pool = finite[:, whole].ravel()  # a feature that never changes takes the values of others
    fixed = (finite == finite[0]).all(axis=0)
    entries = np.where(whole & fixed, random.choice(pool, entries.shape), entries)
    return np.where(whole, entries, values)


def _entries(known: Array, number: int, random: np.random.Generator) -> Array:
    """Draw known entries, each feature by itself."""
    rows = random.integers(0, len(known), (number, known.shape[1]))
    drawn: Array = known[rows, np.arange(known.shape[1])]
    return drawn


def _is_whole(known: Array) -> Array:
    """Say which features hold whole numbers only."""
    whole: Array = (known == np.round(known)).all(axis=0)
    return whole


def _finite(results: Iterable[Array]) -> bool:
    return all(bool(np.isfinite(result).all()) for result in results if result.dtype.kind == "f")


def trajectory(
    call: Call, inputs: Array, state: Sequence[Array], signature: Signature
) -> Iterable[list[Array]]:
    """Run step by step; give outputs and state after each."""
    for step in range(inputs.shape[signature.inputs.shape.index(TIME)]):
        result = call(signature.inputs.cut(inputs, slice(step, step + 1)), *state)
        state = result[1:]
        yield result
