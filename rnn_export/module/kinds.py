"""Rows of one input of a module, of each kind that it can be given: see :mod:`rnn_export.module.sampling`."""

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial

import numpy as np

from rnn_export.module.subject import Subject
from rnn_export.module.values import columns, find_ids
from rnn_export.signature.signature import Call
from rnn_export.signature.tensors import Array

OFTEN = 0.2  # the share of entries of a row that are near constants which the module compares with
LARGER = (10.0, 100.0)  # times what the example has
Kind = Callable[[int], Array]  # from a number of time steps, or of places, to values [time, features]


class Kinds:
    """Kinds of rows of one input; ``usual`` ones, and ``larger`` ones of numbers."""

    def __init__(
        self,
        subject: Subject,
        place: int,
        call: Call,
        random: np.random.Generator,
        constants: Sequence[float],
    ) -> None:
        self.subject, self.place, self.call, self.random = subject, place, call, random
        self.sample, self.turn = columns(subject, place), 0
        self.floats = self.sample.dtype.kind == "f"
        made = {"f": self._of_numbers, "b": self._of_truths}.get(self.sample.dtype.kind, self._of_ids)
        self.counts = subject.signature.inputs[place].counts_steps
        made = self._of_counts if self.counts else made
        self.usual = made(constants)
        self.larger: list[Kind] = [partial(self.normal, factor=factor) for factor in LARGER * self.floats]

    def next(self, number: int) -> list[Kind]:
        """Give the kinds of some rows, in turn."""
        self.turn += number
        return [self.usual[turn % len(self.usual)] for turn in range(self.turn - number, self.turn)]

    def with_random(self, random: np.random.Generator) -> "Kinds":
        """Give kinds of rows that are drawn apart."""
        own = copy(self)
        own.random = random
        return own

    def _of_numbers(self, constants: Sequence[float]) -> list[Kind]:
        kinds: list[Kind] = [self.normal, self.entries, self._ended, self._constant]
        size = float(np.nan_to_num(np.abs(self.sample)).mean()) or 1.0
        near = [c + offset * max(abs(c), size) for c in constants for offset in (-0.5, 0.0, 0.5)]
        if near:
            kinds.append(partial(self._sprinkled, kind=self.entries, values=np.array(near)))
        return kinds

    def _of_ids(self, constants: Sequence[float]) -> list[Kind]:
        ids = find_ids(self.subject, self.place, self.call)
        known = {int(c) + offset for c in constants for offset in (-1, 0, 1) if c == int(c)}
        apart = [token for token in sorted(known) if (token >= ids.low).all() and (token <= ids.high).all()]
        any_id = partial(self._ids, low=ids.low, high=ids.high)
        kinds: list[Kind] = [any_id, partial(self._repeated, kind=any_id), partial(self._alone, kind=any_id)]
        kinds += [partial(self._repeated, kind=any_id, token=token) for token in apart]
        if apart:
            kinds.append(partial(self._sprinkled, kind=any_id, values=np.array(apart)))
        return kinds

    def normal(self, steps: int, factor: float = 1.0) -> Array:
        """Draw numbers as large as each feature is, or so many times as large."""
        return like(self.sample, steps, self.random, factor)

    def tiny(self, steps: int, size: float) -> Array:
        """Draw numbers of a size with each feature's sign; whole numbers stay such."""
        values = self.normal(steps)
        tiny = np.sign(values) * np.minimum(np.abs(values), size * self.random.uniform(0.5, 1, values.shape))
        return np.where(_is_whole(self.sample), values, tiny)

    def entries(self, steps: int) -> Array:
        """Draw the example's own entries, feature by feature."""
        if self.counts:
            return self._some(steps)
        return _entries(self.sample, steps, self.random)

    def _ended(self, steps: int) -> Array:
        values = self.entries(steps)
        values[self._end(steps) :] = 0
        return values

    def _constant(self, steps: int) -> Array:
        return self._alone(steps, self.entries)

    def _alone(self, steps: int, kind: Kind) -> Array:
        return kind(1).repeat(steps, axis=0)

    def _sprinkled(self, steps: int, kind: Kind, values: Array) -> Array:
        """Draw entries with some of certain values among them: single ones, and whole time steps of one.

        A feature that holds whole numbers keeps to those between its own.
        """
        drawn = kind(steps)
        whole = np.less(self.random.random((steps, 1)), OFTEN)
        whole[self.random.integers(0, steps)] = True
        chosen = np.less(self.random.random(drawn.shape), OFTEN) | whole
        special = self.random.choice(values, drawn.shape)
        special = np.where(whole, self.random.choice(values, (steps, 1)), special)
        if self.floats:
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

    def _of_counts(self, constants: Sequence[float]) -> list[Kind]:
        """Draw a number of time steps, and all of them."""
        return [self._some, self._all]

    def _some(self, steps: int) -> Array:
        return self.random.integers(1, steps, (1, 1), endpoint=True)

    def _all(self, steps: int) -> Array:
        return np.full((1, 1), steps)

    def _of_truths(self, constants: Sequence[float]) -> list[Kind]:
        """Draw truth values as often true as the example's, half of them, all and none."""
        return [self.entries, *(partial(self._true, share=share) for share in (0.5, 1.0, 0.0))]

    def _true(self, steps: int, share: float) -> Array:
        drawn: Array = np.less(self.random.random((steps, self.sample.shape[1])), share)
        return drawn


def like(known: Array, number: int, random: np.random.Generator, factor: float = 1.0) -> Array:
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
