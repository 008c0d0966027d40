"""A number that all rows share, as one for each row: a counter of time steps, a time gap, a temperature."""

from collections.abc import Iterator
from itertools import product

from torch import Tensor, nn

from rnn_export.errors import warn
from rnn_export.module.arguments import Arguments, result_of, tensors_of
from rnn_export.module.calling import agree, describe

MOST_AXES = 4  # of a number for each row: [batch], [batch, 1], ...


def for_each_row(model: nn.Module, arguments: Arguments, names: list[str]) -> Arguments:
    """Give a call's tensors without axes one entry for each row, if the module takes them so.

    Rows of one call need not be at the same time step then, as those of several sessions are not. Whether
    each row reads its own entry is checked with all else of rows.
    """
    scalars = [number for number, (_, leaf) in enumerate(arguments.leaves) if not leaf.dim()]
    if not scalars:
        return arguments
    want = tensors_of(result_of(model, arguments))
    for shape in _shapes(arguments) if want else ():
        tensors = [
            leaf.expand(shape).clone() if number in scalars else leaf
            for number, (_, leaf) in enumerate(arguments.leaves)
        ]
        other = Arguments(*arguments.given(tensors))
        got = tensors_of(result_of(model, other))
        if len(got) == len(want) and all(map(_is_same, got, want)):
            called, given = ", ".join(names[number] for number in scalars), describe(tensors[scalars[0]])
            warn(f"{called}: one number for all rows. The files take one for each, {given} for {shape[0]}.")
            return other
    return arguments


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
