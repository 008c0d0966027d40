"""What upstream fixes sizes of, or makes one operator of its own of, while it traces: run another way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.backends import mha
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rnn_export.exclusive import LOCK


class _FreePooling(TorchFunctionMode):
    """Pools over one axis as over two, of which the first has one entry.

    Over one axis upstream fixes the axis: https://github.com/pytorch/pytorch ``max_pool1d`` is computed by a
    kernel that asks for its size as a number.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function."""
        named = dict(kwargs or {})
        if function in (torch.max_pool1d, functional.max_pool1d) and not named.pop("return_indices", False):
            return _pooled(*args, **named)
        return function(*args, **(kwargs or {}))


def _pooled(tensor: Tensor, size: Any = None, *rest: Any, **named: Any) -> Tensor:
    """Give ``max_pool1d`` of a tensor."""
    names = ("stride", "padding", "dilation", "ceil_mode")
    given = {"kernel_size": size, **dict(zip(names, rest, strict=False)), **named}
    fronts = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    both: dict[str, Any] = {
        name: (front, *_number(given[name])) for name, front in fronts.items() if _number(given.get(name))
    }
    both["ceil_mode"] = given.get("ceil_mode", False)
    pooled: Tensor = functional.max_pool2d(tensor.unsqueeze(-2), **both)
    return pooled.squeeze(-2)


def _number(value: Any) -> list[int]:
    """Give a size in a list; it is empty where there is none."""
    return [*value] if isinstance(value, list | tuple) else [] if value is None else [value]


@contextmanager
def sizes_left_free() -> Iterator[None]:
    """Let a trace keep free sizes, and attention be the operators that it is made of."""
    with LOCK, _FreePooling():
        enabled = mha.get_fastpath_enabled()
        mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            mha.set_fastpath_enabled(enabled)
