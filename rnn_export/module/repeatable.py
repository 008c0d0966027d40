"""Is a module a function of its arguments? One that draws random numbers, or remembers a call, is not."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_export.errors import PACKAGE, ModelError
from rnn_export.module import attributes, eager
from rnn_export.module.calling import equal
from rnn_export.module.copying import copied
from rnn_export.module.subject import Subject

OURS = tuple(str(Path(sys.modules[name].__file__ or "").parent) for name in (PACKAGE, "torch"))


def check_repeatable(subject: Subject) -> None:
    """Run a module twice with the same arguments, in float64; no bit may differ.

    Raises:
        ModelError: the results differ. The message names the operation that draws random numbers, with its
            line, or the attributes that a call changes.
    """
    call = eager.start(subject, torch.float64)
    arguments = [tensor.numpy() for tensor in (subject.inputs, *subject.state)]
    with torch.random.fork_rng(devices=[]):
        one, two = (list(map(torch.from_numpy, call(*arguments))) for _ in range(2))
        if equal(one, two):
            return
        cause = _cause(subject)
    difference = max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True) if a.numel())
    raise ModelError(
        f"{type(subject.original).__name__}: two calls with the same arguments differ by {difference:.1g}: "
        f"{cause} A file gives the same results for the same arguments. Nothing was written."
    )


def _cause(subject: Subject) -> str:
    """Say why two calls of a module differ, and what to do about it."""
    model = copied(subject.model)
    flat, noted = subject.flat(model), RandomNumbers()
    with torch.no_grad():
        flat(
            subject.inputs.flip(0), *(leaf.clone() for leaf in subject.state)
        )  # what is kept is of this call
        before = dict(attributes.values(model))
        with noted:
            flat(subject.inputs.clone(), *(leaf.clone() for leaf in subject.state))
    if noted.found:
        return f"{noted.found}. Leave it out in eval mode, or pass what it draws as an input."
    if changed := attributes.changed(model, before):
        return f"it {attributes.CHANGES.format(', '.join(changed))}"
    return "something is kept outside of the state. Take it as a state, and return the new one."


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
