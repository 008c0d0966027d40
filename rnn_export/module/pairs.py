"""Complex numbers that go in or come out, as pairs of real ones: no file has others."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import class_name, warn
from rnn_export.module.arguments import Arguments, result_of, tensors_of
from rnn_export.module.left_out import state_left_out
from rnn_export.module.wrappers import Wrapper
from rnn_export.signature.tree import Path, map_leaves, tree_paths


class InPairs(Wrapper):
    """A module that takes and gives complex numbers, with the two parts of each along a last axis.

    ``paths`` are those of the complex arguments; one may be left out if the module does without it.
    """

    def __init__(self, model: nn.Module, paths: Collection[Path]) -> None:
        super().__init__(model)
        self.paths = frozenset(paths)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        leaves = tree_paths((args, kwargs))
        given = [
            torch.view_as_complex(leaf.contiguous()) if path in self.paths else leaf for path, leaf in leaves
        ]
        remaining = iter(given)
        own_args, own_kwargs = map_leaves((args, kwargs), lambda _: next(remaining))
        return map_leaves(self.original(*own_args, **own_kwargs), _apart)


def in_pairs(model: nn.Module, arguments: Arguments) -> tuple[nn.Module, Arguments]:
    """Give a module and its call without complex numbers: as they are, if there are none."""
    paths = _complex_paths(arguments)
    if any(map(torch.is_complex, tensors_of(result_of(model, arguments)))):
        paths += _complex_paths(state_left_out(model, arguments) or arguments)
    elif not paths:
        return model, arguments
    warn(
        f"{class_name(model)} takes or gives complex numbers. In its files each is two: a last axis of them."
    )
    return InPairs(model, paths).eval(), arguments.mapped(_apart)


def _complex_paths(arguments: Arguments) -> list[Path]:
    return [path for path, leaf in arguments.leaves if leaf.is_complex()]


def _apart(leaf: Any) -> Any:
    return torch.view_as_real(leaf) if isinstance(leaf, Tensor) and leaf.is_complex() else leaf
