"""Sizes that a module compares the shape of its inputs with: ``if x.shape[0] > 500``."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call

MOST = 1 << 14  # a size beyond is not tried


class Size(int):
    """A size of a tensor, which notes what it is compared with."""

    compared: set[int]

    def __lt__(self, other: Any) -> Any:
        return self._note(other).__lt__(other)

    def __le__(self, other: Any) -> Any:
        return self._note(other).__le__(other)

    def __gt__(self, other: Any) -> Any:
        return self._note(other).__gt__(other)

    def __ge__(self, other: Any) -> Any:
        return self._note(other).__ge__(other)

    def __eq__(self, other: Any) -> Any:
        return self._note(other).__eq__(other)

    def __ne__(self, other: Any) -> Any:
        return self._note(other).__ne__(other)

    __hash__ = int.__hash__

    def _note(self, other: object) -> int:
        if isinstance(other, int):
            self.compared.add(int(other))
        return int(self)


class SizesCompared(TorchFunctionMode):
    """Notes the numbers that sizes of tensors are compared with while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.compared = set[int]()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run a function as it is; sizes that it gives are noted from then on."""
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Size):
            return torch.Size(map(self._noted, result))
        return self._noted(result) if function is torch.Tensor.size else result

    def _noted(self, number: int) -> Size:
        size = Size(number)
        size.compared = self.compared
        return size


def compared_sizes(subject: Subject, call: Call) -> list[int]:
    """Run a module on its example, and list the numbers that it compares sizes of tensors with."""
    with SizesCompared() as seen:
        call(*(tensor.numpy() for tensor in subject.arguments))
    return sorted(size for size in seen.compared if 1 < size <= MOST)
