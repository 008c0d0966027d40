"""Do the rows of a call have nothing to do with each other? Some are changed, and the others looked at."""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import ModelError, RnnExportError, mismatch
from rnn_export.module.calling import agree, describe
from rnn_export.module.candidates import Pair
from rnn_export.module.numbers_behind import numbers_behind
from rnn_export.module.output_length import Along, Inputs, Run, all_longer, size_along

ONE_ENTRY = "An axis of one entry is lost or made: name the axis of squeeze(), and sizes in view()."
ATTEMPTS = 8  # at seeing whether one row changes another
LARGER = 100.0
ROUNDING = {"rtol": 1e-5, "atol": 1e-7}  # far above what rounding makes, far below what a row would


def rows_are_apart(run: Run, inputs: Inputs, state: Any, time: Along, batch: tuple[int, ...]) -> bool:
    """Whether entries along an axis have nothing to do with each other, as rows of a batch have not.

    The first of them, and all but the last one, are changed several times, as some change little. So are the
    last one, and all but the first: a loop may run backward.
    """
    size, every = size_along(inputs, batch), numbers_behind(partial(_outputs, run, inputs, state))
    places = [
        [place for place, length in enumerate(want.shape) if length == size and size > 1] for want in every
    ]
    told = False
    for attempt, turned in product(range(ATTEMPTS), (False, True)):
        first = 1 if attempt % 2 == 0 else size - 1
        others = tuple(
            _with_others(tensor, axis, along, attempt, size - first if turned else 0, first)
            for tensor, axis, along in zip(inputs, batch, time, strict=True)
        )
        try:
            found = numbers_behind(partial(_outputs, run, others, state))
        except RnnExportError:  # the module takes no such rows: a mask that is all false, say
            continue
        if [got.shape for got in found] != [want.shape for want in every]:
            return False
        told = True
        places = [
            [place for place in own if _same(got, want, place, 0 if turned else first, size - first)]
            for own, got, want in zip(places, found, every, strict=True)
        ]
    return told and all(places)


def _same(one: Tensor, other: Tensor, axis: int, begin: int, size: int) -> bool:
    """Whether some entries along an axis are the same."""
    kept, want = (tensor.narrow(axis, begin, size).double() for tensor in (one, other))
    return torch.allclose(kept, want, equal_nan=True, **ROUNDING)


def depend_on_each_other(run: Run, inputs: Inputs, state: Any, pairs: Sequence[Pair]) -> ModelError:
    """Say why no axis of the inputs can be the batch, of those ``pairs`` of time and batch that may grow."""
    one, two = (numbers_behind(partial(_outputs, run, inputs, state)) for _ in range(2))
    if not agree(one, two):
        return ModelError(
            mismatch(
                "two calls of forward() with the same arguments",
                "the same results",
                "others, of random numbers or of what the module remembers",
                "Pass random numbers as inputs, and return what is to be remembered as a state.",
            )
        )
    for _, batch in pairs:
        if lost := _lost_axis(run, inputs, state, batch):
            return lost
    given = describe(inputs[0] if len(inputs) == 1 else inputs)
    return ModelError(
        mismatch(
            "results of a row",
            "the same in any batch",
            f"others for other rows, whichever axis of {given} is the batch",
            "Let no row, and no branch, depend on the others or on how many there are.",
        )
    )


def _lost_axis(run: Run, inputs: Inputs, state: Any, batch: tuple[int, ...]) -> ModelError | None:
    """Say that outputs have another number of axes for one row more, as ``squeeze()`` makes it."""
    try:
        one, more = (_outputs(run, each, state) for each in (inputs, all_longer(inputs, batch)))
    except RnnExportError:
        return None
    if [each.dim() for each in one] == [each.dim() for each in more]:
        return None
    got = f"{describe(one)}, and {describe(more)} for one row more"
    return ModelError(mismatch("outputs of forward()", "as many axes for any number of rows", got, ONE_ENTRY))


def _outputs(run: Run, inputs: Inputs, state: Any) -> list[Tensor]:
    return run(inputs, state).outputs


def _with_others(
    inputs: Tensor, axis: int, along: int | None, attempt: int, begin: int, count: int
) -> Tensor:
    """Give inputs some of whose entries along an axis are others, which move ``along`` another axis."""
    changed = inputs.clone()
    own = changed.narrow(axis, begin, count)
    if attempt == ATTEMPTS - 1 and own.is_floating_point():
        own.copy_(own * LARGER)  # what has a threshold may do nothing for less
    elif attempt:
        moves = [(attempt, axis), *([] if along is None else [(1 + attempt // 2, along)])]
        own.copy_(inputs.roll(*zip(*moves, strict=True)).narrow(axis, begin, count))
    elif own.is_floating_point():
        own.copy_(own * 0.5 + 0.25)
    elif own.dtype == torch.bool:
        own.copy_(~own)
    else:  # another id that the example has
        low, high = inputs.min(), inputs.max()
        own.copy_(torch.where(own == high, low, high))
    return changed
