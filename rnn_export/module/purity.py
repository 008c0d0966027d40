"""Two calls with the same arguments: where their results differ, random numbers or a memory are the cause."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_export.errors import PACKAGE, ModelError, class_name
from rnn_export.module import attributes
from rnn_export.module.calling import agree, equal
from rnn_export.signature.tree import tree_leaves

OURS = tuple(str(Path(sys.modules[name].__file__ or "").parent) for name in (PACKAGE, "torch"))
UNKNOWN = "something is kept outside of the state. Take it as a state, and return the new one."


def check_calls(
    model: nn.Module, call: Callable[[tuple[Tensor, ...]], Any], inputs: tuple[Tensor, ...]
) -> None:
    """Call a module twice with the same inputs; whatever it returns may not differ.

    Raises:
        ModelError: it does.
    """
    one, two = ([leaf for leaf in tree_leaves(call(inputs)) if isinstance(leaf, Tensor)] for _ in range(2))
    original = getattr(model, "original", model)
    check_agreement(
        one, two, original, lambda: call(inputs), lambda: call(tuple(each.flip(0) for each in inputs))
    )


def check_agreement(
    one: Sequence[Tensor],
    two: Sequence[Tensor],
    model: nn.Module,
    call: Callable[[], Any],
    other: Callable[[], Any],
) -> None:
    """Compare the results of two calls with the same arguments.

    Roundings of the last bits alone, with no random number drawn and nothing kept, are those of a matrix
    product whose arguments lie elsewhere in memory.

    Args:
        one: the results of the first.
        two: those of the second.
        model: the module that was called.
        call: calls it with these arguments.
        other: calls it with other ones.

    Raises:
        KeptError: the results differ, and a call changes attributes of the module.
        ModelError: the results differ. The message names the operation that draws random numbers, with its
            line, or the attributes that a call changes.
    """
    if equal(one, two):
        return
    cause, kind = _cause(model, call, other)
    if not cause and agree(one, two):
        return
    alike = [(a, b) for a, b in zip(one, two, strict=False) if a.shape == b.shape and a.numel()]
    difference = max((float((a.double() - b.double()).abs().max()) for a, b in alike), default=torch.inf)
    raise kind(
        f"{class_name(model)}: two calls with the same arguments differ by {difference:.1g}: "
        f"{cause or UNKNOWN} A file gives the same results for the same arguments."
    )


def _cause(
    model: nn.Module, call: Callable[[], Any], other: Callable[[], Any]
) -> tuple[str, type[ModelError]]:
    """Say why two calls of a module differ, and what to do about it; nothing if that is not seen."""
    noted = RandomNumbers()
    other()  # what is kept is then of a call with other arguments
    before = dict(attributes.values(model))
    with noted:
        call()
    if noted.found:
        return f"{noted.found}. Leave it out in eval mode, or pass what it draws as an input.", ModelError
    if changed := attributes.changed(model, before):
        return f"it {attributes.CHANGES.format(', '.join(changed))}", attributes.KeptError
    return "", ModelError


class RandomNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which operation draws random numbers first, and the user's line that asks for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = ""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation as it is."""
        if not self.found and torch.Tag.nondeterministic_seeded in function.tags:
            self.found = f"{function.overloadpacket} draws random numbers{_user_line(sys._getframe())}"
        return function(*args, **(kwargs or {}))


def _user_line(frame: FrameType | None) -> str:
    """Name the innermost line that is neither PyTorch's nor this package's."""
    while frame and frame.f_code.co_filename.startswith((*OURS, "<")):
        frame = frame.f_back
    return f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else ""
