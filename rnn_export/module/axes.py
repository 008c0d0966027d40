"""Which axes are time and batch: found by running the module with one time step, or one row, more.

- The time axis of the inputs is the one that may grow while the state keeps its shape. Time and batch are
  the first two axes, in either order, unless these may not grow: then they are any two others that may.
- The batch axis of a leaf of the state is the one that grows with the batch, in ``begin_state`` or in what
  the module returns; else the one of that size, if the module takes a larger one there.
- The axes of the outputs are those that grow along; no time axis means the outputs of the last time step.

What stays open is said, not guessed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations, product
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import InputError, ModelError, RnnExportError, mismatch
from rnn_export.module.calling import Reading, describe, equal
from rnn_export.module.numbers_behind import numbers_behind
from rnn_export.module.output_length import Run, grown, longer, output_length
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tree import map_leaves, tree_leaves

Begin = Callable[[int], Any]
SHORT = 16  # time steps and rows that tell as much as any number of them
ATTEMPTS = 8  # at seeing whether one row changes another
ROUNDING = {"rtol": 1e-5, "atol": 1e-7}  # far above what rounding makes, far below what a row would
DISTINCT = "Pass an example whose number of time steps, batch and other sizes are all different."


@dataclass(frozen=True)
class Axes:
    """Where time and batch are in the inputs and outputs, and where batch is in each leaf of the state.

    ``length`` says how many outputs there are for a number of time steps.
    """

    time: int
    batch: int
    state: tuple[int, ...]
    outputs_time: int | None
    outputs_batch: int
    length: str = TIME


def find_axes(run: Run, inputs: Tensor, state: Any, begin: Begin | None) -> Axes:
    """Find the axes of a call that is known to run.

    Args:
        run: calls the module.
        inputs: the example's.
        state: the example's, or ``None``.
        begin: gives the module's initial state for a batch, if it has one.

    Raises:
        InputError: the example leaves it open which axis is which.
        ModelError: the results do not follow time and batch.
    """
    plain = run(inputs, state)
    time, batch = _time_and_batch(run, inputs, state, plain, begin)
    outputs_time, length = output_length(run, inputs, state, plain, time)
    leaves, wider = _wider(run, inputs, state, batch, begin)
    outputs_batch = grown(plain.outputs, wider.outputs)
    if length is None or len(outputs_time) > 1 or len(outputs_batch) != 1 or outputs_time == outputs_batch:
        raise ModelError(
            mismatch(
                "outputs of forward()",
                f"an axis for the batch, {inputs.shape[batch]}, and one for time, {inputs.shape[time]}, "
                "unless they are those of the last time step",
                describe(plain.outputs),
                "Return the outputs of every time step and every row.",
            )
        )
    return Axes(time, batch, leaves, next(iter(outputs_time), None), outputs_batch[0], str(length))


def check_state(inputs: Tensor, state: Any, begin: Begin | None) -> None:
    """Check that a state may be one for the batch of the inputs, whichever axis that is.

    Raises:
        InputError: it is not.
    """
    batch = inputs.shape[1]
    if any(_fits(state, size, begin) for size in dict.fromkeys([batch, *inputs.shape])):
        return
    if begin is None:
        expected = f"an axis of the inputs' batch, {batch}, in each tensor"
    else:
        expected = f"{describe(begin(batch))} as begin_state({batch}, device) gives"
    remedy = "Make the state for the batch of the inputs."
    raise InputError(mismatch("example 'state'", expected, describe(state), remedy))


def shorter(run: Run, inputs: Tensor, state: Any, begin: Begin | None) -> Tensor:
    """Give a few time steps of the inputs, and a few rows unless the state is made for all of them."""
    for axis in (0, 1):
        few = inputs.narrow(axis, 0, min(SHORT, inputs.shape[axis]))
        if few.shape == inputs.shape or not _fits(state, inputs.shape[1 - axis], begin):
            continue
        try:
            new = _shapes(run(few, state).state)
        except RnnExportError:
            continue
        if state is None:
            inputs = few
        elif new in ([], _shapes(state)):
            return few
    return inputs


def _time_and_batch(
    run: Run, inputs: Tensor, state: Any, plain: Reading, begin: Begin | None
) -> tuple[int, int]:
    pairs = [*permutations(range(inputs.dim()), 2)]
    usual = [pair for pair in pairs if max(pair) == 1]
    found, failures = list[tuple[int, int]](), list[str]()
    for group in (usual, [pair for pair in pairs if pair not in usual]):
        found = [pair for pair in group if _may_be(run, inputs, state, plain, begin, *pair, failures)]
        if found:
            break
    if len(found) > 1:
        rows = [inputs.shape[batch] for _, batch in found]
        found = [pair for pair in found if _rows_are_apart(run, inputs, state, *pair)]
        if not found and set(rows) & set(plain.outputs.shape):
            raise _depend_on_each_other(run, inputs, state)
    if len(found) > 1:  # a pooling takes one entry more of an axis whose size is fixed all the same
        found = [pair for pair in found if _may_be_twice(run, inputs, state, *pair)]
    if len(found) == 1:
        return found[0]
    if not found and inputs.is_floating_point() and inputs.dim() == 2:
        raise InputError(
            mismatch(
                "example 'inputs'",
                "an axis for time, one for the batch, and features",
                f"{describe(inputs)}, of which no two axes may grow",
                "Add the axis of the batch: inputs[:, None] behind time, or inputs[None] in front of it.",
            )
        )
    if not found and failures:
        raise ModelError(f"one more time step is too many. {failures[0]} It has to take any number of them.")
    raise InputError(
        mismatch(
            "example 'inputs'",
            "to see which axis is time and which is batch",
            f"{describe(inputs)}, where several fit",
            DISTINCT,
        )
    )


def _may_be(
    run: Run,
    inputs: Tensor,
    state: Any,
    plain: Reading,
    begin: Begin | None,
    time: int,
    batch: int,
    failures: list[str],
) -> bool:
    """Whether one axis may grow as time does, and another one as the batch; note why it may not."""
    if not _fits(state, inputs.shape[batch], begin):
        return False
    try:
        reading = run(longer(inputs, time), state)
        if state is None:
            run(longer(inputs, batch), None)
    except RnnExportError as error:
        failures.append(str(error))
        return False
    return [leaf.shape for leaf in reading.state] == [leaf.shape for leaf in plain.state]


def _may_be_twice(run: Run, inputs: Tensor, state: Any, time: int, batch: int) -> bool:
    """Whether a sequence, and a batch without a state, may be twice as long."""
    try:
        run(torch.cat([inputs, inputs], time), state)
        if state is None:
            run(torch.cat([inputs, inputs], batch), None)
    except RnnExportError:
        return False
    return True


def _fits(state: Any, batch: int, begin: Begin | None) -> bool:
    """Whether a state may be one for a batch of this size."""
    if state is None:
        return True
    if begin is None:
        return all(batch in leaf.shape for leaf in tree_leaves(state))
    return _shapes(begin(batch)) == _shapes(state)


def _shapes(state: Any) -> list[list[int]]:
    return [list(leaf.shape) for leaf in tree_leaves(state)]


def _rows_are_apart(run: Run, inputs: Tensor, state: Any, along: int, axis: int) -> bool:
    """Whether entries along an axis have nothing to do with each other, as rows of a batch have not.

    The first of them, and all but the last one, are changed several times, as some change little.
    """
    size, want = inputs.shape[axis], numbers_behind(partial(_outputs, run, inputs, state))
    places = [place for place, length in enumerate(want.shape) if length == size and size > 1]
    for attempt in range(ATTEMPTS):
        first = 1 if attempt % 2 == 0 else size - 1
        others = _with_others(inputs, axis, along, attempt, first)
        got = numbers_behind(partial(_outputs, run, others, state))
        if got.shape != want.shape:
            return False
        kept = [
            [tensor.narrow(place, first, size - first).double() for tensor in (got, want)] for place in places
        ]
        places = [
            place
            for place, (one, other) in zip(places, kept, strict=True)
            if torch.allclose(one, other, equal_nan=True, **ROUNDING)
        ]
    return bool(places)


def _depend_on_each_other(run: Run, inputs: Tensor, state: Any) -> ModelError:
    """Say why no axis of the inputs can be the batch, of those that may grow."""
    one, two = (numbers_behind(partial(_outputs, run, inputs, state)) for _ in range(2))
    if not equal([one], [two]):
        return ModelError(
            mismatch(
                "two calls of forward() with the same arguments",
                "the same results",
                "others, of random numbers or of what the module remembers",
                "Pass random numbers as inputs, and return what is to be remembered as a state.",
            )
        )
    return ModelError(
        mismatch(
            "results of a row",
            "the same in any batch",
            f"others for other rows, whichever axis of {describe(inputs)} is the batch",
            "Let no row, and no branch, depend on the others or on how many there are.",
        )
    )


def _outputs(run: Run, inputs: Tensor, state: Any) -> Tensor:
    return run(inputs, state).outputs


def _with_others(inputs: Tensor, axis: int, along: int, attempt: int, first: int) -> Tensor:
    """Give inputs whose ``first`` entries along an axis are others, which move ``along`` another axis."""
    changed = inputs.clone()
    own = changed.narrow(axis, 0, first)
    if attempt:
        own.copy_(inputs.roll((attempt, 1 + attempt // 2), (axis, along)).narrow(axis, 0, first))
    elif own.is_floating_point():
        own.copy_(own * 0.5 + 0.25)
    else:  # another id that the example has
        low, high = inputs.min(), inputs.max()
        own.copy_(torch.where(own == high, low, high))
    return changed


def _wider(
    run: Run, inputs: Tensor, state: Any, batch: int, begin: Begin | None
) -> tuple[tuple[int, ...], Reading]:
    """Find the batch axis of each leaf of the state, and run with one row more."""
    size, more = inputs.shape[batch], longer(inputs, batch)
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
        follows = bool(grown(run(inputs, state).outputs, reading.outputs))
        if _shapes(reading.state) == want if reading.state else follows:
            found.append((axes, reading))
    if len(found) == 1:
        return found[0]
    if not found and failures:
        raise ModelError(f"one more row is too many. {failures[0]} It has to take any number of them.")
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
