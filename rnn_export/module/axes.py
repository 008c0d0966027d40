"""Which axes are time and batch: found by running the module with one time step, or one row, more.

- The time axis of the inputs is the one that may grow while the state keeps its shape, in all sequences at
  once. Time and batch are the first two axes, in either order, unless these may not grow: then they are any
  two others that may. An input without a time axis is a context; all are, if no axis may be time. Of
  several readings the one counts in which more outputs are as long as the sequences, and then the one in
  which the first input is a sequence. An axis whose last entries are not read is no time axis.
- The batch axis of a leaf of the state is the one that grows with the batch, in ``begin_state`` or in what
  the module returns; else the one of that size, if the module takes a larger one there.
- The axes of the outputs are those that grow along; no time axis means the outputs of the last time step.

What stays open is said, not guessed.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import InputError, ModelError, RnnExportError, mismatch
from rnn_export.module.axes_refused import DISTINCT, refusal, without_remedy
from rnn_export.module.calling import Reading, describe
from rnn_export.module.candidates import Pair, Said, is_a_part, pairs_of_axes
from rnn_export.module.output_length import (
    Along,
    Inputs,
    Run,
    all_longer,
    grown,
    is_read,
    longer,
    output_lengths,
    size_along,
)
from rnn_export.module.rows import depend_on_each_other, rows_are_apart
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tree import map_leaves, tree_leaves

Begin = Callable[[int], Any]
SHORT = 16  # time steps and rows that tell as much as any number of them


@dataclass(frozen=True)
class OutputAxes:
    """Where time, twice in weights of an attention, and batch are; ``length`` says how many of the former."""

    time: tuple[int, ...]
    batch: int
    length: str = TIME


@dataclass(frozen=True)
class Axes:
    """Where time and batch are in the inputs and outputs, and where batch is in each leaf of the state."""

    time: Along
    batch: tuple[int, ...]
    state: tuple[int, ...]
    outputs: tuple[OutputAxes, ...]


class FlattenedError(ModelError):
    """Some outputs, by their numbers, have time and batch as one axis; with these axes of the inputs."""

    def __init__(self, time: Along, batch: tuple[int, ...], outputs: list[int]) -> None:
        super().__init__("outputs have time and batch as one axis")
        self.time, self.batch, self.outputs = time, batch, outputs


def find_axes(
    run: Run,
    inputs: Inputs,
    state: Any,
    begin: Begin | None,
    said: Said,
    names: Sequence[Collection[str]],
) -> Axes:
    """Find the axes of a call that is known to run.

    Args:
        run: calls the module.
        inputs: the example's.
        state: the example's, or ``None``.
        begin: gives the module's initial state for a batch, if it has one.
        said: what the user says of the axes.
        names: what each input is called.

    Raises:
        InputError: the example leaves it open which axis is which.
        FlattenedError: outputs have time and batch as one axis.
        ModelError: the results do not follow time and batch.
    """
    plain = run(inputs, state)
    pairs, called = (
        [*pairs_of_axes(inputs, said, names, alone=state is None)],
        [next(iter(each)) for each in names],
    )
    time, batch = _time_and_batch(run, inputs, state, plain, begin, said, pairs, called)
    lengths = output_lengths(run, inputs, state, plain, time)
    leaves, wider = _wider(run, inputs, state, batch, begin)
    steps, many = size_along(inputs, time), size_along(inputs, batch)
    flat = [
        number
        for number, (output, more_rows) in enumerate(zip(plain.outputs, wider.outputs, strict=True))
        if output.dim() and lengths[number][0] == [0]
        if (output.shape[0], more_rows.shape[0]) == (steps * many, steps * (many + 1))
    ]
    if flat:
        raise FlattenedError(time, batch, flat)
    found = list[OutputAxes]()
    for output, more_rows, (times, length) in zip(plain.outputs, wider.outputs, lengths, strict=True):
        rows = grown(output, more_rows)
        if length is None or len(rows) != 1 or rows[0] in times:
            raise ModelError(
                mismatch(
                    "outputs of forward()",
                    f"an axis for the batch, {many}, and one for time, {steps}, unless they are those of "
                    "the last time step",
                    describe(output),
                    "Return the outputs of every time step and every row.",
                )
            )
        found.append(OutputAxes(tuple(times), rows[0], str(length)))
    return Axes(time, batch, leaves, tuple(found))


def check_state(inputs: Inputs, state: Any, begin: Begin | None) -> None:
    """Check that a state may be one for the batch of the inputs, whichever axis that is.

    Raises:
        InputError: it is not.
    """
    sizes = [size for tensor in inputs for size in tensor.shape]
    batch = inputs[0].shape[1] if inputs[0].dim() > 1 else sizes[0]
    if any(_fits(state, size, begin) for size in dict.fromkeys([batch, *sizes])):
        return
    if begin is None:
        expected = f"an axis of the inputs' batch, {batch}, in each tensor"
    else:
        expected = f"{describe(begin(batch))} as begin_state({batch}, device) gives"
    remedy = "Make the state for the batch of the inputs."
    raise InputError(mismatch("example 'state'", expected, describe(state), remedy))


def shorter(run: Run, inputs: Inputs, state: Any, begin: Begin | None) -> Inputs:
    """Give a few time steps of the inputs, and a few rows unless the state is made for all of them."""
    first = next((tensor for tensor in inputs if tensor.dim() > 1), None)
    for axis in (0, 1) if first is not None else ():
        size, other = first.shape[axis], first.shape[1 - axis]  # type: ignore[union-attr]
        few = tuple(_few(tensor, axis if tensor is first else None, size) for tensor in inputs)
        if size <= SHORT or not _fits(state, other, begin):
            continue
        try:
            new = _shapes(run(few, state).state)
        except RnnExportError:
            continue
        if state is None:
            inputs = few
            first = next(tensor for tensor in inputs if tensor.dim() > 1)
        elif new in ([], _shapes(state)):
            return few
    return inputs


def _few(tensor: Tensor, axis: int | None, size: int) -> Tensor:
    """Shorten an axis, or else the first one of two that has a size."""
    own = [place for place, length in enumerate(tensor.shape[:2]) if length == size]
    places = own[:1] if axis is None else [axis]
    return tensor.narrow(places[0], 0, min(SHORT, size)) if places else tensor


def _time_and_batch(
    run: Run,
    inputs: Inputs,
    state: Any,
    plain: Reading,
    begin: Begin | None,
    said: Said,
    pairs: Sequence[Pair],
    names: Sequence[str],
) -> Pair:
    alone = [pair for pair in pairs if {*pair[0]} == {None}]
    usual = [pair for pair in pairs if max(*(axis or 0 for axis in pair[0]), *pair[1]) == 1]
    usual = [pair for pair in usual if pair not in alone]
    found, failures, unread = list[Pair](), list[RnnExportError](), list[Pair]()
    for group in (usual, [pair for pair in pairs if pair not in [*usual, *alone]], alone):
        found = [pair for pair in group if _may_be(run, inputs, state, plain, begin, *pair, failures)]
        if group is alone:
            found = [pair for pair in found if rows_are_apart(run, inputs, state, *pair)]
        unread = unread or found
        found = [pair for pair in found if group is alone or is_read(run, inputs, state, plain, *pair)]
        if found:
            break
    found = [pair for pair in found or unread if not is_a_part(pair, found or unread)]
    if len(found) > 1:
        rows, several = {size_along(inputs, batch) for _, batch in found}, found
        found = [pair for pair in found if rows_are_apart(run, inputs, state, *pair)]
        if not found and rows & {size for output in plain.outputs for size in output.shape}:
            raise depend_on_each_other(run, inputs, state, several)
    if len(found) > 1:  # a pooling takes one entry more of an axis whose size is fixed all the same
        found = [pair for pair in found if _may_be_twice(run, inputs, state, *pair)]
    if len(found) > 1 and len(inputs) > 1:
        following = [_following(run, inputs, state, plain, time) for time, _ in found]
        found = [pair for pair, number in zip(found, following, strict=True) if number == max(following)]
        found = [pair for pair in found if pair[0][0] is not None] or found  # the sequence comes first
    if len(found) == 1:
        return found[0]
    raise refusal(found, failures, plain, inputs, state, said, names)


def _following(run: Run, inputs: Inputs, state: Any, plain: Reading, time: Along) -> int:
    """Count the outputs that are longer where the sequences are."""
    longer = run(all_longer(inputs, time), state)
    return sum(one.shape != other.shape for one, other in zip(plain.outputs, longer.outputs, strict=True))


def _may_be(
    run: Run,
    inputs: Inputs,
    state: Any,
    plain: Reading,
    begin: Begin | None,
    time: Along,
    batch: tuple[int, ...],
    failures: list[RnnExportError],
) -> bool:
    """Whether one axis may grow as time does, and another one as the batch; note why it may not."""
    if not _fits(state, size_along(inputs, batch), begin):
        return False
    try:
        reading = run(all_longer(inputs, time), state)
        if state is None:
            run(all_longer(inputs, batch), None)
    except RnnExportError as error:
        failures.append(error)
        return False
    return [leaf.shape for leaf in reading.state] == [leaf.shape for leaf in plain.state]


def _may_be_twice(run: Run, inputs: Inputs, state: Any, time: Along, batch: tuple[int, ...]) -> bool:
    """Whether a sequence, and a batch without a state, may be twice as long."""
    try:
        run(_twice(inputs, time), state)
        if state is None:
            run(_twice(inputs, batch), None)
    except RnnExportError:
        return False
    return True


def _twice(inputs: Inputs, axes: Along) -> Inputs:
    pairs = zip(inputs, axes, strict=True)
    return tuple(tensor if axis is None else torch.cat([tensor, tensor], axis) for tensor, axis in pairs)


def _fits(state: Any, batch: int, begin: Begin | None) -> bool:
    """Whether a state may be one for a batch of this size."""
    if state is None:
        return True
    if begin is None:
        return all(batch in leaf.shape for leaf in tree_leaves(state))
    return _shapes(begin(batch)) == _shapes(state)


def _shapes(state: Any) -> list[list[int]]:
    return [list(leaf.shape) for leaf in tree_leaves(state)]


def _wider(
    run: Run, inputs: Inputs, state: Any, batch: tuple[int, ...], begin: Begin | None
) -> tuple[tuple[int, ...], Reading]:
    """Find the batch axis of each leaf of the state, and run with one row more."""
    size, more = size_along(inputs, batch), all_longer(inputs, batch)
    if begin is not None:
        axes = _axes_between(begin(size), begin(size + 1))
        return axes, run(more, map_leaves_with(state, axes, longer))
    if state is None:
        reading = run(more, None)
        pairs = zip(run(inputs, None).state, reading.state, strict=True)
        return tuple(_one(grown(one, other), one) for one, other in pairs), reading
    found, failures = [], []
    for axes in _candidates(state, size):
        try:
            reading = run(more, map_leaves_with(state, axes, longer))
        except RnnExportError as error:
            failures.append(str(error))
            continue
        want = _shapes(map_leaves_with(state, axes, longer))
        outputs = zip(run(inputs, state).outputs, reading.outputs, strict=True)
        follows = all(grown(one, other) for one, other in outputs)
        if _shapes(reading.state) == want if reading.state else follows:
            found.append((axes, reading))
    if len(found) == 1:
        return found[0]
    if not found and failures:
        failure = without_remedy(failures[0])
        raise ModelError(f"one more row is too many. {failure} It has to take any number of them.")
    raise InputError(
        mismatch(
            "example 'state'",
            f"one axis of each tensor to be the inputs' batch, {size}",
            f"{describe(state)}, where {'several' if found else 'none'} can be it",
            f"{DISTINCT} Or give the module begin_state(batch_size, device).",
        )
    )


def _candidates(state: Any, size: int) -> Iterator[tuple[int, ...]]:
    places = [[k for k, length in enumerate(leaf.shape) if length == size] for leaf in tree_leaves(state)]
    yield from product(*places)


def _axes_between(one: Any, other: Any) -> tuple[int, ...]:
    pairs = zip(tree_leaves(one), tree_leaves(other), strict=True)
    return tuple(_one(grown(first, second), first) for first, second in pairs)


def _one(grown: Sequence[int], leaf: Tensor) -> int:
    if len(grown) != 1:
        raise ModelError(
            mismatch(
                "a tensor of the state",
                "one axis that grows with the batch",
                describe(leaf),
                "Give every row of the batch a state of its own.",
            )
        )
    return grown[0]


def map_leaves_with(state: Any, axes: Sequence[int], function: Callable[[Tensor, int], Tensor]) -> Any:
    """Apply a function to every leaf and its axis."""
    remaining = iter(axes)
    return map_leaves(state, lambda leaf: function(leaf, next(remaining)))
