"""``squeeze()`` of all axes, which loses that of the batch for one row: here each call names its axes.

An example of several rows and time steps shows which axes are meant::

    y = self.head(h).squeeze()       # [B, T, 1] -> [B, T], but [T] for one row and [] for one time step of it
    y = self.head(h).squeeze(-1)     # [B, T, 1] -> [B, T]

What has one entry in the example has one in every call, or the shapes are others where this is run at other
sizes: that is checked as for any module.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rnn_export.errors import class_name
from rnn_export.exclusive import LOCK
from rnn_export.module.arguments import Arguments, arguments_of
from rnn_export.module.copying import copied
from rnn_export.module.wrappers import Wrapper, original_of

FUNCTIONS = "squeeze", "squeeze_"
Place = tuple[CodeType, int, int]  # the code and the instruction that calls, and the rank of the tensor
Meant = dict[Place, tuple[int, ...] | None]  # the axes that go; ``None`` if they are not always the same
LINES = 3  # that are named


class NamedAxes(Wrapper):
    """A module whose calls of ``squeeze()`` at some places take the axes that are meant there.

    If that is ``unclear``, a place drops other axes each time, or the example has axes of one entry itself.
    """

    def __init__(self, model: nn.Module, meant: Meant, *, unclear: bool) -> None:
        super().__init__(model)
        self.meant, self.unclear = meant, unclear
        if hasattr(model, "begin_state"):
            self.begin_state = model.begin_state

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        with _Named(self.meant):
            return self.original(*args, **kwargs)

    @property
    def lines(self) -> str:
        """What to write, in which lines; the axes as they are counted from the end."""
        found = dict.fromkeys(map(_written, self.meant.items()))
        return "; ".join([*found][:LINES])

    @property
    def remark(self) -> str:
        """Say that files keep axes of one entry."""
        return (
            f"{class_name(original_of(self))} loses an axis for one row or one time step. Its files keep it, "
            f"as if this stood there: {self.lines}."
        )

    @property
    def remedy(self) -> str:
        """What to do if this is no form of the module either."""
        return f"{self.lines}: name the axis there, or pass an example of several rows and time steps."


def with_named_axes(
    model: nn.Module, example: Any, kwargs: Mapping[str, Any] | None = None
) -> NamedAxes | None:
    """Give a module whose calls of ``squeeze()`` name their axes; ``None`` if there are none.

    Nor is there such a form of what cannot be run, whatever the reason.
    """
    meant = Meant()
    with LOCK, torch.random.fork_rng(devices=[]), torch.no_grad(), _Noted(meant):
        try:
            arguments = arguments_of(example, kwargs)
            args, named = arguments.given([tensor.clone() for tensor in _tensors(arguments)])
            copied(model).eval()(*args, **named)
        except Exception:  # it was run before: what is wrong with it was said
            return None
    alone = any(size == 1 for leaf in _tensors(arguments) for size in leaf.shape)
    unclear = any(axes is None or (alone and len(axes) > 1) for axes in meant.values())
    return NamedAxes(model, meant, unclear=unclear) if meant else None


def _tensors(arguments: Arguments) -> list[Tensor]:
    return [leaf for _, leaf in arguments.leaves]


class _Squeezing(TorchFunctionMode):
    """Sees each ``squeeze()`` of all axes, and where it stands."""

    def __init__(self, meant: Meant) -> None:
        super().__init__()
        self.meant = meant

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run a function of PyTorch."""
        named: Mapping[str, Any] = kwargs or {}
        tensor, *others = [*args, *named.values()] or [None]
        if getattr(func, "__name__", "") not in FUNCTIONS or others or not isinstance(tensor, Tensor):
            return func(*args, **named)
        caller = sys._getframe(1)
        return self.squeezed(func, tensor, (caller.f_code, caller.f_lasti, tensor.dim()))

    def squeezed(self, func: Callable[..., Any], tensor: Tensor, place: Place) -> Any:
        """Squeeze a tensor."""
        raise NotImplementedError


class _Noted(_Squeezing):
    """Notes which axes go."""

    def squeezed(self, func: Callable[..., Any], tensor: Tensor, place: Place) -> Any:
        """Squeeze all axes of one entry."""
        axes = tuple(axis for axis, size in enumerate(tensor.shape) if size == 1)
        self.meant[place] = axes if self.meant.get(place, axes) == axes else None
        return func(tensor)


class _Named(_Squeezing):
    """Lets the axes go that are meant."""

    def squeezed(self, func: Callable[..., Any], tensor: Tensor, place: Place) -> Any:
        """Squeeze the axes that are meant, or all where that is not known."""
        axes = self.meant.get(place)
        if axes is None:
            return func(tensor)
        for axis in reversed(axes):
            tensor = func(tensor, axis)
        return tensor


def _written(entry: tuple[Place, tuple[int, ...] | None]) -> str:
    """Write down what stands at a place, and what is meant."""
    (code, instruction, rank), axes = entry
    lines = [line for begin, end, line in code.co_lines() if begin <= instruction < end]
    place = f"squeeze() in {Path(code.co_filename)}:{lines[0] if lines else code.co_firstlineno}"
    if axes is None:
        return f"{place} drops other axes each time"
    counted = [axis - rank for axis in axes]
    return f"{place} as squeeze({counted[0] if len(counted) == 1 else tuple(counted)})" if counted else place
