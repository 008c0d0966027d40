"""Properties of a module that cannot be read: TorchScript, which reads them all, does not see them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def readable(model: nn.Module) -> Iterator[None]:
    """Let a property that raises be ``None``, in the module and inside of it, while TorchScript looks at it.

    Such is the trainer of a module that is in no training: ``forward`` runs without.
    """
    kinds = [(module, type(module)) for module in model.modules()]
    try:
        for module, kind in kinds:
            hidden = [] if isinstance(module, torch.jit.ScriptModule) else _failing(module)
            if hidden:
                module.__class__ = _without(kind, hidden)
        yield
    finally:
        for module, kind in kinds:
            if type(module) is not kind:
                module.__class__ = kind


def _failing(module: nn.Module) -> list[str]:
    """Name the properties that raise something else than that there is no such attribute."""
    return [name for name in dir(type(module)) if _is_property(type(module), name) and _raises(module, name)]


def _is_property(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), property)


def _raises(module: nn.Module, name: str) -> bool:
    try:
        getattr(module, name, None)
    except Exception:  # whatever it is: TorchScript would end with it
        return True
    return False


def _without(kind: type[nn.Module], names: list[str]) -> type[nn.Module]:
    """Give a class of the same name, with nothing in the place of some properties."""
    members = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, **dict.fromkeys(names)}
    like: Any = type(kind)  # its own metaclass
    hidden: type[nn.Module] = like(kind.__name__, (kind,), members)
    return hidden
