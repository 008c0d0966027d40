"""A number that all rows share, as one for each row: a counter of time steps, a time gap, a temperature."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from rnn_export.errors import warn
from rnn_export.module.arguments import Arguments, result_of, tensors_of
from rnn_export.module.calling import agree, describe

MOST_AXES = 4  # of a number for each row: [batch], [batch, 1], ...


def for_each_row(model: nn.Module, arguments: Arguments, names: list[str]) -> Arguments:
    """Give a call's tensors without axes one entry for each row, if the module takes them so.

    Rows of one call need not be at the same time step then, as those of several sessions are not. Of several
    shapes the one counts of which each row reads its own entry.
    """
    scalars = [number for number, (_, leaf) in enumerate(arguments.leaves) if not leaf.dim()]
    if not scalars:
        return arguments
    want = tensors_of(result_of(model, arguments))
    fitting = list[Arguments]()
    for shape in _shapes(arguments) if want else ():
        tensors = _given(arguments, scalars, partial(_repeated, shape))
        other = Arguments(*arguments.given(tensors))
        got = tensors_of(result_of(model, other))
        if len(got) == len(want) and all(map(_is_same, got, want)):
            fitting.append(other)
    if not fitting:
        return arguments
    chosen = next((each for each in fitting if _reads_its_own(model, arguments, each, scalars)), fitting[0])
    called, first = ", ".join(names[number] for number in scalars), chosen.leaves[scalars[0]][1]
    given = f"{describe(first)} for {len(first)}"
    warn(f"{called}: one number for all rows. The files take one for each, {given}.")
    return chosen


def _repeated(shape: tuple[int, ...], number: Tensor) -> Tensor:
    return number.expand(shape).clone()


def _given(arguments: Arguments, places: Sequence[int], function: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Give a call's tensors, some of them changed."""
    leaves = enumerate(leaf for _, leaf in arguments.leaves)
    return [function(leaf) if number in places else leaf for number, leaf in leaves]


def _reads_its_own(model: nn.Module, alone: Arguments, each: Arguments, scalars: Sequence[int]) -> bool:
    """Whether the last row has another result, that of its own number, where it has another number.

    Of as many features as rows ``x * gain`` takes ``[batch]`` as well, of which each *feature* reads one.
    """

    def moved(leaf: Tensor) -> Tensor:
        other = leaf.clone()
        last = other[-1:] if other.dim() else other
        last.copy_(~last if last.dtype == torch.bool else last * 2 + 1)
        return other

    want, had, got = (
        tensors_of(result_of(model, Arguments(*call.given(_given(call, scalars, change)))))
        for call, change in ((alone, moved), (alone, torch.clone), (each, moved))
    )
    size = len(each.leaves[scalars[0]][1])
    return len(got) == len(want) > 0 and all(map(partial(_is_moved, size), got, want, had))


def _is_moved(size: int, got: Tensor, want: Tensor, had: Tensor) -> bool:
    """Whether along some axis the last entry is as wanted, and all others as they were."""
    if not want.dim():
        return True
    for axis, length in enumerate(want.shape):
        if got.shape != want.shape or length != size:
            continue
        whole = torch.cat([had.narrow(axis, 0, size - 1), want.narrow(axis, size - 1, 1)], axis)
        if agree([got], [whole]):
            return True
    return False


def _shapes(arguments: Arguments) -> Iterator[tuple[int, ...]]:
    """List the shapes that a number for each row may have, for each size that may be the batch."""
    sizes = dict.fromkeys(size for _, leaf in arguments.leaves for size in leaf.shape[:2])
    for axes, size in product(range(MOST_AXES), sizes):
        yield (size, *(1,) * axes)


def _is_same(got: Tensor, want: Tensor) -> bool:
    """Whether a result is what it was, or what it was for each row."""
    if not want.dim() and got.dim():
        return bool((got == want).all())
    return agree([got], [want])
