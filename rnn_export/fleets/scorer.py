"""A table of rows in, a table of results out: what every way to score shares.

    id  inputs                            id  outputs
    a   [[0.1, 0.2], [0.3, 0.4]]    ->    a   [[0.7], [0.1]]
    b   [[0.5, 0.6]]                      b   [[0.2]]

Rows of one length are run together: nothing is padded. If the files take the lengths of rows, those of
similar lengths are run together, padded to the longest of them, which changes no result.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from rnn_export.errors import InputError, mismatch
from rnn_export.fleets.columns import Values, column, read, row_shape
from rnn_export.fleets.plan import Plan, counts_steps
from rnn_export.runtimes.table import Runner
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.sizes import size as size_of
from rnn_export.signature.tensors import LENGTHS, Array, InputSpec, OutputSpec, TensorSpec

TOGETHER = 1024  # rows of a call, at most
SLACK = 1.25  # times the length of its shortest row: the longest one of a padded call

Sizes = Mapping[str, Array]  # the free sizes of each row, by their names


class Scorer:
    """Runs a model over the rows of tables.

    In ``"c"`` a row has the same bits in any table; other runtimes may round in another way in other company.

    Args:
        runner: the model.
        plan: which columns it takes and gives.
    """

    def __init__(self, runner: Runner, plan: Plan) -> None:
        self._runner, self._plan, self._signature = runner, plan, runner.signature
        results = zip(self._signature.output_names, self._signature.results, strict=True)
        self._given = {name: spec for name, spec in results if name in plan.given}
        free = {size for spec in self._signature.outputs for size in spec.shape if isinstance(size, str)}
        self._pads = self._signature.lengths and free <= {BATCH, TIME, *self._signature.free_sizes}

    def __call__(self, table: Any, where: str, first: int = 0) -> Any:
        """Give the results of some rows, in their order.

        Args:
            table: of Arrow, with the columns of the plan.
            where: names the rows in errors.
            first: the number of the first row in errors.

        Raises:
            InputError: a row is not what the model takes; the message names its column and its number.
            BundleError: the file of the model fails.
        """
        values = self._read(table, where, first)
        sizes = self._sizes(values, len(table), where, first)
        self._check_numbers(values, sizes, where, first)
        order = np.lexsort([sizes[name] for name in sorted(sizes, key=lambda name: name != TIME)])
        sorts = bool((np.diff(order) < 0).any())
        if sorts:
            values = self._read(table.take(order), where, first)
            sizes = {name: own[order] for name, own in sizes.items()}
        parts = [self._run(values, sizes, *rows) for rows in self._calls(sizes)]
        results = table.select(self._plan.kept)
        for name, spec in self._given.items():
            numbers = [part[name] for part in parts] or [np.empty(0, spec.dtype)]
            found = column(Values(np.concatenate(numbers), _sizes_of(spec, sizes)), spec)
            results = results.append_column(
                self._plan.given[name], found.take(np.argsort(order)) if sorts else found
            )
        return results

    def _read(self, table: Any, where: str, first: int) -> dict[str, Values]:
        specs = {spec.name: spec for spec in self._signature.arguments}
        return {
            name: read(table[taken], specs[name], f"{where}, column {taken!r}", first)
            for name, taken in self._plan.taken.items()
        }

    def _place(self, name: str, row: int, where: str, first: int) -> str:
        return f"{where}, column {self._plan.taken[name]!r}, row {first + row}"

    def _sizes(self, values: Mapping[str, Values], rows: int, where: str, first: int) -> Sizes:
        """Give the free sizes of each row, in which all its columns agree."""
        sizes = {} if self._signature.timed else {TIME: np.ones(rows, np.int64)}
        least = {TIME: 0 if self._signature.lengths else self._signature.least}
        for spec in self._signature.inputs:
            for axis, size in enumerate(row_shape(spec)):
                if isinstance(size, int):
                    continue
                own = values[spec.name].sizes[:, axis]
                known = sizes.setdefault(size, own)
                wrong = (own != known) | (own < least.get(size, 1))
                if wrong.any():
                    row = int(np.argmax(wrong))
                    place = self._place(spec.name, row, where, first)
                    several = own[row] == known[row]
                    expected = (
                        f"at least {least.get(size, 1)} of {size}" if several else f"{size} {known[row]}"
                    )
                    remedy = "Leave the row out, or pad it." if several else "A row's columns have the same."
                    raise InputError(mismatch(place, expected, own[row], remedy))
        return sizes

    def _check_numbers(self, values: Mapping[str, Values], sizes: Sizes, where: str, first: int) -> None:
        """Check lengths and token ids; ids behind a row's own length are not looked at here."""
        for spec in self._signature.arguments:
            if spec.name not in values:
                continue
            own = values[spec.name]
            if counts_steps(spec):
                least = 0 if spec is LENGTHS else 1
                wrong = (own.numbers < least) | (own.numbers > sizes[TIME])
                expected = f"a number of time steps from {least} to that of the row's lists"
            elif isinstance(spec, InputSpec) and spec.vocabulary is not None and LENGTHS.name not in values:
                wrong = (own.numbers < 0) | (own.numbers >= spec.vocabulary)
                expected = f"token ids from 0 to {spec.vocabulary - 1}"
            else:
                continue
            if wrong.any():
                found = int(np.argmax(wrong))
                row = int(np.searchsorted(own.ends, found, "right")) - 1
                place, remedy = self._place(spec.name, row, where, first), "Leave the row out, or mend it."
                raise InputError(mismatch(place, expected, own.numbers[found], remedy))

    def _calls(self, sizes: Sizes) -> Iterator[tuple[int, int]]:
        """Cut rows that are sorted by their sizes into calls: of one size, or of similar lengths."""
        times = sizes[TIME]
        same = [own for name, own in sizes.items() if not (self._pads and name == TIME)]
        changes = np.any([np.diff(own) != 0 for own in same], axis=0) if same else np.zeros(0, bool)
        ends = [*(np.flatnonzero(changes) + 1).tolist(), len(times)]
        start = 0
        for end in ends:
            while start < end:
                stop = min(start + TOGETHER, end)
                if self._pads:
                    longest = max(SLACK * times[start], self._signature.least)
                    stop = start + int(np.searchsorted(times[start:stop], longest, "right"))
                yield start, stop
                start = stop

    def _run(self, values: Mapping[str, Values], sizes: Sizes, start: int, stop: int) -> dict[str, Array]:
        """Run some rows, and give the numbers of their results, row after row."""
        times = sizes[TIME][start:stop]
        own = {name: int(each[start:stop].max()) for name, each in sizes.items()} | {BATCH: stop - start}
        own[TIME] = max(own[TIME], self._signature.least)

        def given(spec: TensorSpec) -> Array:
            if spec.name not in values:
                return times
            return _together(values[spec.name].within(start, stop), spec, own, times)

        signature = self._signature
        inputs = {spec.name: given(spec) for spec in signature.inputs}
        begun = all(leaf.name in values for leaf in signature.state) and signature.streamable
        outputs, state = self._runner(
            inputs,
            tuple(map(given, signature.state)) if begun else None,
            given(LENGTHS) if signature.lengths else None,
        )
        names = [spec.name for spec in signature.outputs]
        results = outputs if len(names) > 1 else {names[0]: outputs}
        results |= {leaf.output_name: each for leaf, each in zip(signature.state, state, strict=False)}
        return {name: _apart(results[name], spec, own, times) for name, spec in self._given.items()}


def _together(numbers: Array, spec: TensorSpec, sizes: Mapping[str, int], times: Array) -> Array:
    """Make the tensor of a call of the numbers of its rows; zeros stand behind the end of a row.

    ``[row 0, row 1, ...] -> [batch, time, features] -> [time, batch, features]``
    """
    shape = sizes[BATCH], *(size_of(size, sizes) for size in row_shape(spec))
    rows = numbers.reshape(shape) if numbers.size == np.prod(shape) else np.zeros(shape, spec.dtype)
    if rows.size != numbers.size:
        rows[_within(spec, shape, times)] = numbers
    return np.moveaxis(rows, 0, spec.batch_axis)


def _apart(value: Array, spec: TensorSpec, sizes: Mapping[str, int], times: Array) -> Array:
    """Give the numbers of the rows of a result, without those behind the end of a row."""
    if isinstance(spec, OutputSpec):
        value = spec.from_file(value, sizes)
    rows = np.moveaxis(value, spec.batch_axis, 0)
    padded = spec.time_axis is not None and (times != sizes[TIME]).any()
    return rows[_within(spec, rows.shape, times)] if padded else rows.ravel()


def _within(spec: TensorSpec, shape: tuple[int, ...], times: Array) -> Array:
    """Say which entries, batch first, are before the end of their row."""
    axis = 1 + row_shape(spec).index(TIME)
    steps = np.arange(shape[axis]).reshape(-1, *[1] * (len(shape) - axis - 1))
    return np.broadcast_to(steps < times.reshape(-1, *[1] * (len(shape) - 1)), shape)


def _sizes_of(spec: TensorSpec, sizes: Sizes) -> Array:
    """Give the sizes of a tensor for each row, ``[rows, axes]``."""
    times = sizes[TIME]
    found = np.empty((len(times), len(row_shape(spec))), np.int64)
    for axis, size in enumerate(row_shape(spec)):
        if isinstance(size, str) and size not in sizes:  # a length that the module makes of the time steps
            each, places = np.unique(times, return_inverse=True)
            found[:, axis] = np.array([size_of(size, {TIME: int(time)}) for time in each])[places]
        else:
            found[:, axis] = sizes[size] if isinstance(size, str) else size
    return found
