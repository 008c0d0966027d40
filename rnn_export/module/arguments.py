"""The arguments of a call: tensors in any nesting, taken apart and put together again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, mismatch
from rnn_export.module.calling import describe
from rnn_export.module.copying import copied
from rnn_export.module.interface import check_dense
from rnn_export.signature.tree import Path, map_leaves, tree_leaves, tree_paths

PLAIN = (tuple, list)  # wrappings that files have as well


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call: tensors in any nesting, and what else ``forward`` takes, as it is."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def leaves(self) -> list[tuple[Path, Tensor]]:
        """The tensors that go in, in the order of the flattened arguments, each with its path."""
        return [(path, leaf) for path, leaf in tree_paths((self.args, dict(self.kwargs))) if is_tensor(leaf)]

    @property
    def numbers(self) -> list[tuple[Path, int | float]]:
        """The Python numbers that go in: how many steps to predict, say."""
        paths = tree_paths((self.args, dict(self.kwargs)))
        return [
            (path, leaf)
            for path, leaf in paths
            if isinstance(leaf, int | float) and not isinstance(leaf, bool)
        ]

    @property
    def plain(self) -> bool:
        """Whether it is ``(inputs)`` or ``(inputs, state)``, the state in tuples and lists, or ``None``."""
        if self.kwargs or len(self.args) not in (1, 2) or not isinstance(self.args[0], Tensor):
            return False
        return all(part is None or _is_plain(part) for part in self.args[1:])

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Arguments":
        """Give the arguments with a function applied to each tensor."""
        return Arguments(*self.given([function(leaf) for _, leaf in self.leaves]))

    def given(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give the arguments with other tensors, in the order of :attr:`leaves`."""
        rest = iter(tensors)
        args, kwargs = map_leaves(
            (self.args, dict(self.kwargs)), lambda leaf: next(rest) if is_tensor(leaf) else leaf
        )
        return args, kwargs

    def without(self, places: Sequence[int]) -> "Arguments | None":
        """Leave some tensors out: the arguments that hold them, if these may be left out together."""
        paths = [self.leaves[place][0] for place in places]
        kept = [path for number, (path, _) in enumerate(self.leaves) if number not in places]
        first = min((int(path[1]) for path in paths if path[0] == 0), default=len(self.args))
        named = {path[1] for path in paths if path[0] == 1}
        if any(
            (path[0] == 0 and int(path[1]) >= first) or (path[0] == 1 and path[1] in named) for path in kept
        ):
            return None
        rest = {name: value for name, value in self.kwargs.items() if name not in named}
        return Arguments(self.args[:first], rest)


def arguments_of(example: Any, kwargs: Mapping[str, Any] | None) -> Arguments:
    """Take an example apart: a tensor, a dict, or what else is no tuple or list is one argument.

    Raises:
        InputError: it holds no tensor, one without numbers of its own, or an array that is none.
    """
    args = tuple(example) if isinstance(example, tuple | list) and type(example) in PLAIN else (example,)
    found = Arguments(args, dict(kwargs or {}))
    arrays = [leaf for leaf in tree_leaves((args, found.kwargs)) if isinstance(leaf, np.ndarray)]
    if arrays:
        got = f"an array, {arrays[0].dtype} {list(arrays[0].shape)}"
        raise InputError(mismatch("example", "tensors", got, "Convert it with torch.from_numpy()."))
    if not found.leaves:
        given = describe(example if not kwargs else (*args, *found.kwargs.values()))
        remedy = "Pass what one call of the model takes."
        raise InputError(mismatch("example", "(inputs, state), or inputs alone, as tensors", given, remedy))
    check_dense([leaf for _, leaf in found.leaves])
    return found.mapped(lambda leaf: leaf.detach().cpu())


def result_of(model: nn.Module, arguments: Arguments) -> Any:
    """Give what a call of a copy returns, which may change it; ``None`` where the module does not take it."""
    model = copied(model)
    args, kwargs = arguments.given([leaf.clone() for _, leaf in arguments.leaves])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            return model(*args, **kwargs)
        except Exception:  # whatever it raises; an example that does not run is refused where it is read
            return None


def tensors_of(value: Any) -> list[Tensor]:
    """List the leaves that are tensors."""
    return list(filter(is_tensor, tree_leaves(value)))


def is_tensor(value: object) -> bool:
    """Whether a leaf is a tensor, and not what a module takes beside."""
    return isinstance(value, Tensor)


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor, or tensors in tuples and lists."""
    if isinstance(value, tuple | list):
        return type(value) in PLAIN and all(map(_is_plain, value))
    return isinstance(value, Tensor)
