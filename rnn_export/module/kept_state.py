"""A state that a module keeps in its attributes: ``self.h = self.cell(x, self.h)``.

Attributes that a call changes, which hold tensors with a row for each of the batch, are set before each call
and read after it. The result is a module with a state as any other, which keeps nothing; whether it is a
fold, and no row depends on another, is checked as for any other.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.exclusive import LOCK
from rnn_export.module.attributes import values, watched
from rnn_export.module.copying import copied
from rnn_export.module.wrappers import Wrapper
from rnn_export.signature.tree import map_leaves, tree_leaves

ARGUMENT = "kept_state"  # by which the state goes in


class Kept(Wrapper):
    """A module and the paths of the attributes that are its state: ``(*args, **kwargs, kept_state)``.

    Without a state it begins with what the attributes hold.
    """

    def __init__(self, model: nn.Module, paths: Sequence[str]) -> None:
        super().__init__(model)
        self.paths = {path.replace(".", "_"): path for path in paths}

    def forward(self, *args: Any, kept_state: Mapping[str, Any] | None = None, **kwargs: Any) -> Any:
        """Run the module with a state; give what it returns, and the new state."""
        before = {path: _get(self.original, path) for path in self.paths.values()}
        try:
            for name, path in self.paths.items():
                begun = before[path] if kept_state is None else kept_state[name]
                _set(self.original, path, map_leaves(begun, _clone))
            result = self.original(*args, **kwargs)
            return result, {name: _get(self.original, path) for name, path in self.paths.items()}
        finally:
            for path, value in before.items():
                _set(self.original, path, value)


def keep(
    model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Kept, dict[str, Any]] | None:
    """Hand out what a module keeps in attributes.

    Gives the module and the state after a call; ``None`` if a call changes nothing, or what is no tensor.
    """
    own = copied(model).eval()
    args, kwargs = deepcopy((tuple(args), dict(kwargs)))
    with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad():
        paths = watched(own, lambda: own(*args, **kwargs))[1]
    after = dict(values(own))
    leaves = [leaf for path in paths for leaf in tree_leaves(after[path])]
    if not leaves or not all(isinstance(leaf, Tensor) and leaf.dim() for leaf in leaves):
        return None
    plain = copied(model)
    for path in paths:
        _no_buffer(plain, path)
    kept = Kept(plain, paths)
    return kept, {name: after[path] for name, path in kept.paths.items()}


def _no_buffer(module: nn.Module, path: str) -> None:
    """Let a buffer be an attribute: it is no constant of a file."""
    owner, _, name = path.rpartition(".")
    holder = attrgetter(owner)(module) if owner else module
    if name in getattr(holder, "_buffers", {}):
        setattr(holder, name, holder._buffers.pop(name))


def _clone(leaf: Any) -> Any:
    return leaf.clone() if isinstance(leaf, Tensor) else leaf


def _get(module: nn.Module, path: str) -> Any:
    return attrgetter(path)(module)


def _set(module: nn.Module, path: str, value: Any) -> None:
    owner, _, name = path.rpartition(".")
    setattr(attrgetter(owner)(module) if owner else module, name, value)
