"""Sizes that a module compares the shape of its inputs with: ``if x.shape[0] > 500``."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from rnn_export.errors import ModelError
from rnn_export.module.subject import Subject
from rnn_export.signature.signature import Call
from rnn_export.signature.sizes import BATCH, TIME

MOST = 1 << 14  # a size beyond is not tried


class Size(int):
    """A size of a tensor, which notes what it is compared with, and what it is found to be."""

    compared: set[int]
    found: set[int]

    def __lt__(self, other: Any) -> Any:
        return self._note(other).__lt__(other)

    def __le__(self, other: Any) -> Any:
        return self._note(other).__le__(other)

    def __gt__(self, other: Any) -> Any:
        return self._note(other).__gt__(other)

    def __ge__(self, other: Any) -> Any:
        return self._note(other).__ge__(other)

    def __eq__(self, other: Any) -> Any:
        return self._note(other, self.found).__eq__(other)

    def __ne__(self, other: Any) -> Any:
        return self._note(other, self.found).__ne__(other)

    __hash__ = int.__hash__

    def _note(self, other: object, alike: set[int] | None = None) -> int:
        """Note a number, one that this size is where it is asked whether it is just that."""
        number = int(self)
        if isinstance(other, int):
            noted = self.compared if alike is None or number != int(other) else alike
            noted.add(int(other))
        return number


class SizesCompared(TorchFunctionMode):
    """Notes the numbers that sizes of tensors are compared with while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.compared, self.found = set[int](), set[int]()

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
        size.compared, size.found = self.compared, self.found
        return size


def compared_sizes(subject: Subject, call: Call) -> list[int]:
    """Run a module on its example, and list the numbers that it compares sizes of tensors with.

    What a size is found to be with more time steps and rows as well, it is a check of features, as each layer
    of ``torch.nn`` makes: it says nothing of time and batch.
    """
    with SizesCompared() as seen:
        call(*(tensor.numpy() for tensor in subject.arguments))
    compared = seen.compared | (seen.found - _found_in_more(subject, call) if seen.found else set())
    return sorted(size for size in compared if 1 < size <= MOST)


def _found_in_more(subject: Subject, call: Call) -> set[int]:
    """List what sizes are found to be with one more time step and row; nothing, if the module fails there."""
    arguments = [tensor.numpy() for tensor in subject.arguments]
    for number, spec in enumerate(subject.signature.arguments[: len(arguments)]):
        for axis, size in enumerate(spec.shape):
            if size in (TIME, BATCH):
                length = arguments[number].shape[axis]
                arguments[number] = arguments[number].take(np.arange(length + 1) % length, axis)
    seen, found = SizesCompared(), set[int]()
    with seen, suppress(ModelError):
        call(*arguments)
        found = seen.found
    return found
