"""What a module begins with: zeros, what it has learned, or what its ``begin_state`` gives, in every row."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, islice, product
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import InputError, ModelError, mismatch
from rnn_export.module.calling import Reading, agree, equal
from rnn_export.module.output_length import Inputs, Run
from rnn_export.signature.tree import Tree, enumerate_names, map_leaves, tree_leaves, wrap

REMEDY = "Give the module begin_state(batch_size, device), which gives the state that it begins with."
MOST_STARTS = 256  # that are tried
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}  # far above what another order of sums makes, far below a start


def own_start(run: Run, inputs: Inputs, reading: Reading) -> Any:
    """Give a state of zeros in the wrapping that a module takes; ``None`` if it takes no state.

    If that is not what the module begins with by itself, :func:`check_left_out` says so. A second argument
    that changes nothing, as ``*args`` may be, is no state.
    """
    zeros = list(map(torch.zeros_like, reading.state))
    taken = []
    for state in _wrappings(reading.gives, zeros):
        try:
            again = run(inputs, state)
        except (InputError, ModelError):
            continue
        if not _is_read(run, inputs, state, again):
            continue
        if equal(again.tensors, reading.tensors):
            return state
        taken.append(state)
    return taken[0] if taken else None


def _is_read(run: Run, inputs: Inputs, state: Any, before: Reading) -> bool:
    """Whether a module gives something else for another state, or does not take it."""
    try:
        other = run(inputs, map_leaves(state, lambda leaf: ~leaf if leaf.dtype == torch.bool else leaf + 1))
    except (InputError, ModelError):
        return True
    return not equal(other.tensors, before.tensors)


def _wrappings(gives: Tree, leaves: list[Tensor]) -> list[Any]:
    """List how a module may want the state that it returns: as it comes, or its only leaf wrapped."""
    if not leaves:
        return []
    [[_, *parts]] = gives.values()  # type: ignore[union-attr]
    whole: Tree = parts[0] if len(parts) == 1 else {"tuple": parts}
    wrapped = [wrap(whole, dict(enumerate_names(leaves)))]
    return [*wrapped, leaves[0], (leaves[0],), [leaves[0]]] if len(leaves) == 1 else wrapped


def begun_alike(begin: Callable[[int], Any], batch: int, axes: Sequence[int]) -> list[Tensor]:
    """Give one row of what ``begin_state`` gives, which has to be that of every row, batch and call.

    Args:
        begin: gives the module's initial state for a batch.
        batch: the batch of the example.
        axes: the batch axis of each leaf.

    Raises:
        ModelError: it is not.
    """
    states = [tree_leaves(begin(size)) for size in (batch, batch, batch + 1)]
    first = [leaf.select(axis, 0) for leaf, axis in zip(states[0], axes, strict=True)]
    for found, what in zip(states, ("row", "call", "batch"), strict=True):
        for number, (leaf, axis) in enumerate(zip(found, axes, strict=True)):
            if not all(equal([row], [first[number]]) for row in leaf.unbind(axis)):
                raise ModelError(
                    mismatch(
                        f"begin_state(batch_size, device), tensor {number}",
                        "the same for every row, batch and call",
                        f"another one for another {what}",
                        "A file begins with one row's state for all. Pass what differs as the state.",
                    )
                )
    return first


def learned_start(
    left_out: Callable[[Inputs], Reading],
    run: Run,
    inputs: Inputs,
    state: Any,
    axes: Sequence[int],
    known: Sequence[Tensor],
) -> list[Tensor] | None:
    """Give one row of the state that a module begins with, if it is made of parameters or buffers.

    Args:
        left_out: calls the module with the inputs alone.
        run: calls the module.
        inputs: the example's.
        state: the example's.
        axes: the batch axis of each leaf.
        known: what it may begin with.

    Returns:
        A row for each leaf; ``None`` if zeros are what it begins with, if none of these are, or if the state
        cannot be left out.
    """
    try:
        alone = left_out(inputs)
    except (InputError, ModelError):
        return None
    leaves = tree_leaves(state)
    rows = [torch.zeros_like(leaf.select(axis, 0)) for leaf, axis in zip(leaves, axes, strict=True)]
    choices = [
        _different([row, *(found for own in known for found in _rows_like(row, own, axis))])
        for row, axis in zip(rows, axes, strict=True)
    ]
    want = alone.tensors
    for alike in (equal, agree):
        for number, chosen in enumerate(islice(_in_order(choices), MOST_STARTS)):
            got = run(inputs, begun_with(chosen, state, axes))
            if alike(got.tensors[: len(want)], want):
                return list(chosen) if number else None
    return None


def _in_order(choices: Sequence[Sequence[Tensor]]) -> Iterator[tuple[Tensor, ...]]:
    """List ways to choose a row for each leaf: first of each, then others for one leaf alone, for two, ..."""
    for number in range(len(choices) + 1):
        for places in combinations(range(len(choices)), number):
            yield from product(
                *(rows[1:] if place in places else rows[:1] for place, rows in enumerate(choices))
            )


def _different(rows: Sequence[Tensor]) -> list[Tensor]:
    """Leave out rows that stand in front as well."""
    return [row for place, row in enumerate(rows) if not any(torch.equal(row, one) for one in rows[:place])]


def _rows_like(row: Tensor, own: Tensor, axis: int) -> list[Tensor]:
    """Give the numbers of a tensor as a row of a state, or the first of its rows, if it may be either.

    A single number may be that of all units.
    """
    if own.numel() == 1 and own.is_floating_point() and row.is_floating_point():
        return [own.reshape(()).to(row.dtype).expand_as(row)]
    if own.dtype != row.dtype or own.numel() % max(1, row.numel()):
        return []
    if own.numel() == row.numel():
        return [own.reshape(row.shape)]
    first = own.select(axis, 0) if own.dim() == row.dim() + 1 else own
    return [first] if first.shape == row.shape else []


def begun_with(rows: Sequence[Tensor], state: Any, axes: Sequence[int]) -> Any:
    """Make a state like another one, each row of a leaf the same."""
    begun = iter(
        row.unsqueeze(axis).expand_as(leaf).contiguous()
        for row, leaf, axis in zip(rows, tree_leaves(state), axes, strict=True)
    )
    return map_leaves(state, lambda _: next(begun))


def as_numbers(number: int, row: Tensor) -> Any:
    """Give one row of ``begin_state`` as plain numbers: one number where all are the same.

    Raises:
        ModelError: one is NaN, with which everything that comes of it is NaN.
    """
    if bool(row.isnan().any()):
        remedy = "Begin with a number that is replaced by the first one, such as -inf for a maximum."
        raise ModelError(mismatch(f"begin_state(), tensor {number}", "numbers", "nan", remedy))
    if row.numel() and bool((row == row.flatten()[0]).all()):
        return row.flatten()[0].item()
    return row.tolist()


def check_left_out(
    left_out: Callable[[Inputs], Reading],
    run: Run,
    inputs: Inputs,
    state: Any,
) -> None:
    """Check that a module that can be called without its state then begins with the one of the files.

    Args:
        left_out: calls the module with the inputs alone.
        run: calls the module.
        inputs: the example's.
        state: what the files begin with.

    Raises:
        InputError: it begins with something else.
    """
    try:
        alone = left_out(inputs)
    except (InputError, ModelError):
        return  # the state cannot be left out
    given = run(inputs, state)
    pairs = list(zip(alone.tensors, given.tensors, strict=False))
    if all(torch.allclose(one.double(), other.double(), equal_nan=True, **ROUNDING) for one, other in pairs):
        return
    difference = max(float((one.double() - other.double()).abs().max()) for one, other in pairs)
    raise InputError(
        mismatch(
            "model(inputs), the state left out",
            "the results from the state that the files begin with",
            f"results that differ by {difference:.2g}",
            REMEDY,
        )
    )
