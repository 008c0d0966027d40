"""Calls without an axis for the batch: ``net(x)`` of ``[T, F]``, where ``[T, B, F]`` is taken as well."""

from itertools import count, product

import torch
from torch import Tensor, nn

from rnn_export.errors import class_name, warn
from rnn_export.module.arguments import Arguments, result_of, tensors_of
from rnn_export.module.calling import agree, describe

MOST = 6  # tensors of a call whose axes are looked for


def with_rows(model: nn.Module, arguments: Arguments) -> Arguments | None:
    """Give a call for several rows, if the module gives for each of them what it gives for the row alone.

    The axis of the batch is the second or the first one, for each tensor::

        gru(x [7, 4], h [2, 5])         gru(x [7, 3, 4], h [2, 3, 5])

    ``None`` if the module takes none so, or if its tensors have more axes than those of a row have. Nor if a
    tensor that comes back has as many entries as the first one: both may be rows of a single time step.
    """
    leaves = [leaf for _, leaf in arguments.leaves]
    if len(leaves) > MOST or any(leaf.dim() > (2 if leaf.is_floating_point() else 1) for leaf in leaves):
        return None
    sizes = {size for leaf in leaves for size in leaf.shape}
    rows = next(number for number in count(3) if number not in sizes)
    alone = [[_moved(leaf, row) for leaf in leaves] for row in range(rows)]
    want = [tensors_of(result_of(model, Arguments(*arguments.given(row)))) for row in alone]
    if not all(want) or any(_may_be_rows(leaf, leaves[0], want[0]) for leaf in leaves[1:]):
        return None
    for axes in product((1, 0), repeat=len(leaves)):
        if any(axis > leaf.dim() for axis, leaf in zip(axes, leaves, strict=True)):
            continue
        together = [
            torch.stack(each, axis) for axis, each in zip(axes, zip(*alone, strict=True), strict=True)
        ]
        call = Arguments(*arguments.given(together))
        got = tensors_of(result_of(model, call))
        if len(got) == len(want[0]) and all(map(_holds, got, zip(*want, strict=True))):
            given = f"{describe(together)} for {rows} rows in the place of {describe(leaves)}"
            warn(f"{class_name(model)} is called without an axis for the batch. Its files have one: {given}.")
            return call
    return None


def _moved(leaf: Tensor, row: int) -> Tensor:
    """Give another row: the first one is the example's own."""
    return leaf.roll(row, 0) if leaf.dim() else leaf


def _may_be_rows(leaf: Tensor, first: Tensor, results: list[Tensor]) -> bool:
    return leaf.shape[:1] == first.shape[:1] and any(leaf.shape == result.shape for result in results)


def _holds(together: Tensor, rows: tuple[Tensor, ...]) -> bool:
    """Whether some axis of a result has the results of the rows."""
    axes = (axis for axis, size in enumerate(together.shape) if size == len(rows))
    return any(agree(together.unbind(axis), rows) for axis in axes)
