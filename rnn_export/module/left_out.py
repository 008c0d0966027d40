"""A state that the example leaves out, of a module that takes it in a wrapping of its own."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.module.arguments import Arguments, result_of, tensors_of
from rnn_export.module.calling import agree
from rnn_export.signature.tree import parts_of


def with_state(model: nn.Module, arguments: Arguments) -> Arguments | None:
    """Give a call with the state that it leaves out, as zeros; what the module begins with is found later.

    ::

        net(x) -> y, State(h, c)                    net(x, State(h, c))
        net(x) -> y, ([h, h], [c, c])               net(x, [h, h], [c, c])
        net(x) -> {"y": y, "state": {"h": h}}       net(x, state={"h": h})

    ``None`` if the module takes none, or one argument of tuples and lists: such a call is read as it stands.
    """
    found = state_left_out(model, arguments)
    return None if found is None or found.plain else found


def state_left_out(model: nn.Module, arguments: Arguments) -> Arguments | None:
    """Give a call with the state that it leaves out, in whatever wrapping; ``None`` if there is none."""
    if not _free(model, arguments):
        return None
    result, taken = result_of(model, arguments), list[Arguments]()
    want = tensors_of(result)
    for state in _states(model, arguments, result):
        zeros = _joined(arguments, state.mapped(torch.zeros_like))
        other = _joined(arguments, state.mapped(_other))
        got, moved = (tensors_of(result_of(model, call)) for call in (zeros, other))
        if not got or agree(got, moved):
            continue
        if agree(got, want):
            return zeros
        taken.append(zeros)
    return taken[0] if taken else None


def is_one_step(model: nn.Module, arguments: Arguments) -> bool:
    """Whether a call goes on with what it gave: ``cell(x) -> h`` or ``(h, c)``, and ``cell(x, h)``."""
    result = result_of(model, arguments)
    further = [Arguments((result,), {}), *_states(model, arguments, result)]
    calls = (_joined(arguments, state) for state in further if tensors_of(result))
    shapes = [leaf.shape for leaf in tensors_of(result)]
    return any([leaf.shape for leaf in tensors_of(result_of(model, call))] == shapes for call in calls)


def _states(model: nn.Module, arguments: Arguments, result: Any) -> Iterator[Arguments]:
    """List how a part of what came back may go in: behind the arguments, or under its own name."""
    parts = parts_of(result) or []
    if isinstance(result, tuple | list):
        rest = tuple(part for _, part in parts[1:])
        inside = tuple(rest[0]) if len(rest) == 1 and type(rest[0]) in (tuple, list) else ()
        for behind in (rest, inside):
            if behind and all(map(tensors_of, behind)):
                yield Arguments(behind, {})
    named = {str(name): part for name, part in parts if name in _free(model, arguments) and tensors_of(part)}
    if named:
        yield Arguments((), named)


def _joined(arguments: Arguments, state: Arguments) -> Arguments:
    return Arguments((*arguments.args, *state.args), {**arguments.kwargs, **state.kwargs})


def _other(leaf: Tensor) -> Tensor:
    return ~leaf if leaf.dtype == torch.bool else leaf + 1


def _free(model: nn.Module, arguments: Arguments) -> set[str]:
    """Name the parameters that a call leaves out; ``*`` if they may be any."""
    try:
        parameters = inspect.signature(model.forward).parameters
    except (AttributeError, TypeError, ValueError):  # compiled, it does not tell
        return {"*"}
    some = any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters.values())
    return {*[*parameters][len(arguments.args) :], *(["*"] if some else [])} - {*arguments.kwargs}
