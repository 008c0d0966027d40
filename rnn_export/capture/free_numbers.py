"""``int`` and ``float`` of a size that is free, which Python makes a number of that a trace would keep.

::

    batch = int(x.shape[0])            batch = x.shape[0]
    y.sum(1) / float(x.shape[1])       y.sum(1) / sym_float(x.shape[1])
"""

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

OURS = {"torch", __name__.partition(".")[0]}


def asks_for_numbers(module: nn.Module) -> bool:
    """Whether the code of a module says ``int`` or ``float`` anywhere."""
    functions = (
        function
        for each in module.modules()
        for kind in type(each).__mro__
        if kind.__module__.partition(".")[0] not in OURS
        for function in vars(kind).values()
    )
    return any({*NUMBERS} & {*_names(getattr(each, "__code__", None))} for each in functions)


def _names(code: CodeType | None) -> Iterator[str]:
    if code is not None:
        yield from code.co_names
        for inner in code.co_consts:
            yield from _names(inner if isinstance(inner, CodeType) else None)


class _Number(type):
    """What stands in the place of ``int`` and ``float``: a free size stays one, all else is as it was."""

    plain: type
    free: Callable[[Any], Any]

    def __call__(cls, *given: Any) -> Any:
        """Make a number."""
        if given and _is_free(given[0]):
            return cls.free(given[0])
        return cls.plain(*given)

    def __instancecheck__(cls, value: Any) -> bool:
        """Whether a value is a number of the kind."""
        return isinstance(value, cls.plain) or _is_free(value)

    def __eq__(cls, other: object) -> bool:
        """Whether it is the kind that it stands for."""
        return other is cls or other is cls.plain

    def __hash__(cls) -> int:
        """Be in the same place of a dict."""
        return hash(cls.plain)


class _Int(metaclass=_Number):
    plain = int

    @staticmethod
    def free(size: Any) -> Any:
        """Give a size as it is."""
        return size


class _Float(metaclass=_Number):
    plain = float

    @staticmethod
    def free(size: Any) -> Any:
        """Give a size as a float."""
        return size.float() if isinstance(size, Tensor) else torch.sym_float(size)  # type: ignore[no-untyped-call]


NUMBERS = {"int": _Int, "float": _Float}


def _is_free(value: Any) -> bool:
    """Whether a value is a size that is free, or a number that TorchScript computes in a trace."""
    if isinstance(value, Tensor):
        return not value.dim() and torch._C._get_tracing_state() is not None
    return isinstance(value, torch.SymInt | torch.SymFloat)
