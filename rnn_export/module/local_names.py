"""What a state in local variables is called in the user's source: ``h, c = self.cell(x_t, (h, c))``.

A function of the user's is watched as it returns. A tensor of the new state is the local variable that holds
the same numbers then; of several, as ``y`` that is ``h``, the one that is set first.
"""

import sys
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor

from rnn_export.module.naming import RESERVED, WORDS, Names, are_usable
from rnn_export.module.reading import look_again
from rnn_export.module.subject import Subject
from rnn_export.signature.sizes import BATCH

LIBRARIES = "torch", "rnn_export"  # whose variables are nobody's names
Locals = dict[str, Tensor]


def with_local_names(subject: Subject, inner: Subject) -> Subject:
    """Call a state as the local variables that hold it are called, if it has several tensors.

    Args:
        subject: the user's module, which keeps its state in local variables.
        inner: the same with that state as an input and an output.
    """
    signature, count = inner.signature, len(inner.signature.outputs)
    if len(signature.state) < 2:
        return inner
    begun = map(torch.from_numpy, signature.initial_state(signature.sizes(inner.inputs)[BATCH]))
    with torch.no_grad():
        ended = inner.flat()(*inner.inputs, *begun)[count:]
    names = local_names(lambda: subject.flat()(*inner.inputs), ended)
    taken, given = (tuple(spec.name for spec in specs) for specs in (signature.inputs, signature.outputs))
    if names is None or not are_usable(names, {*taken, *given, *RESERVED, *WORDS}):
        return inner
    return look_again(subject, inner.model, inner.inputs, inner.state, Names(taken, names, given, (), ()))


def local_names(run: Callable[[], Any], state: Sequence[Tensor]) -> tuple[str, ...] | None:
    """Give the names of local variables that hold the tensors of a state in the end.

    Args:
        run: calls the user's module.
        state: the tensors that are left of that call.

    ``None`` unless one function holds all of them, each in a variable of its own.
    """
    if any(_same(one, other) for place, one in enumerate(state) for other in state[:place]):
        return None
    for held in _returned(run):
        names = [next((name for name, own in held.items() if _same(own, each)), None) for each in state]
        found = tuple(name for name in names if name is not None)
        if len({*found}) == len(state):
            return found
    return None


def _returned(run: Callable[[], Any]) -> list[Locals]:
    """Run a module; give the tensors that each function held as it returned, the outermost function first."""
    found = dict[CodeType, Locals]()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "return" or frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES:
            return
        held, order = frame.f_locals, frame.f_code.co_varnames
        own = {name: held[name].clone() for name in order if isinstance(held.get(name), Tensor)}
        found.pop(frame.f_code, None)
        found[frame.f_code] = own

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        with torch.no_grad():
            run()
    finally:
        sys.setprofile(before)
    return list(reversed(found.values()))


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers, but for rounding."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.allclose(one.double(), other.double(), equal_nan=True)
