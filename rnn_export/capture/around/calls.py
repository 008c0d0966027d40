"""Which submodules of a model go through time steps one by one: found by calling it with more of them.

A submodule whose own operators grow in number with the time steps holds a loop, whatever Python it is written
in, or is a recurrent layer. What it calls in its loop is called more often, and belongs to it::

    Model.forward                 12 operators for 5 time steps,  12 for 8       traced
      conv                         1                               1             traced
      encoder                     31                              46             a loop over time steps
        cell, 5 times              5 each         8 times          5 each        a part of that loop
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_export.capture.traceable import step_by_step
from rnn_export.module.arguments import Arguments, is_tensor, tensors_of
from rnn_export.signature.tree import map_leaves, tree_leaves


@dataclass(frozen=True)
class Call:
    """One call of a submodule: by which other call it was made, what it took and gave, and how much it ran.

    ``path`` is empty for the model itself. ``outer`` is the number of the call that made it, -1 if none did;
    ``operators`` are those that ran in it, in what it called as well.
    """

    path: str
    outer: int
    arguments: Arguments
    result: Any
    operators: int

    @property
    def shapes(self) -> tuple[list[torch.Size], list[torch.Size]]:
        """Give the shapes of the tensors that went in, and of those that came out."""
        came = [leaf.shape for leaf in tensors_of(self.result)]
        return [leaf.shape for _, leaf in self.arguments.leaves], came

    def is_like(self, other: "Call") -> bool:
        """Whether it is the same but for the numbers and sizes of tensors."""
        both = ((call.arguments.args, dict(call.arguments.kwargs), call.result) for call in (self, other))
        one, two = (tree_leaves(each) for each in both)
        return len(one) == len(two) and all(map(alike, one, two))


def alike(one: Any, other: Any) -> bool:
    """Whether two leaves are tensors of one kind, or else the same."""
    if is_tensor(one) and is_tensor(other):
        return (one.dim(), one.dtype) == (other.dim(), other.dtype)
    return one is other or (type(one) is type(other) and not is_tensor(one) and bool(one == other))


class InPlace(nn.Module):
    """Stands in the place of a module, whose attributes can be read here as well."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self._own = (original,)  # in a tuple: it is no submodule

    @property
    def original(self) -> nn.Module:
        """The module."""
        return self._own[0]

    def __getattr__(self, name: str) -> Any:
        """Give an attribute of the module."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_own"][0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module."""
        return self.original(*args, **kwargs)


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operators."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator."""
        self.count += 1
        return function(*args, **(kwargs or {}))


def calls_of(model: nn.Module, run: Callable[[], object]) -> list[Call]:
    """Run a model, and give the calls of it and of its submodules in the order in which they began.

    Recurrent layers run their time steps one by one, without the kernels that take a layer whole.
    """
    counted, found, open_ = _Counted(), list[Call](), [-1]

    def copied(value: Any) -> Any:
        before = counted.count
        copy = map_leaves(value, lambda leaf: leaf.clone() if is_tensor(leaf) else leaf)
        counted.count = before
        return copy

    def enter(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if any(map(is_functorch_wrapped_tensor, tensors_of((args, kwargs)))):
                open_.append(open_[-1])  # torch.vmap runs it: what it takes is known only within
                return
            given = Arguments(*copied((args, dict(kwargs))))
            found.append(Call(path, open_[-1], given, None, counted.count))
            open_.append(len(found) - 1)

        return hook

    def leave(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        number = open_.pop()
        if number == open_[-1]:
            return
        call = found[number]
        ran = counted.count - call.operators
        found[number] = replace(call, result=copied(result), operators=ran)

    with ExitStack() as stack:
        for path, module in _outside_of_scripts(model, stack):
            stack.callback(module.register_forward_pre_hook(enter(path), with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave).remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(step_by_step())
        stack.enter_context(counted)
        run()
    return found


def _outside_of_scripts(model: nn.Module, stack: ExitStack) -> Iterator[tuple[str, nn.Module]]:
    """List the modules that Python calls; what TorchScript compiled is one of them, not what is in it.

    Upstream tells nobody when that is called: until the stack is left, another module calls it.
    """
    inside: list[str] = []
    for path, module in [*model.named_modules()]:
        if any(path.startswith(f"{outer}.") for outer in inside):
            continue
        if not isinstance(module, torch.jit.ScriptModule):
            yield path, module
            continue
        inside.append(path)
        holder, _, name = path.rpartition(".")
        around = model.get_submodule(holder)
        caller = InPlace(module).eval()
        setattr(around, name, caller)
        stack.callback(setattr, around, name, module)
        yield path, caller


def recurrent(few: Sequence[Call], many: Sequence[Call]) -> list[str]:
    """Name the modules whose own operators are more for more time steps, the outermost ones.

    Args:
        few: the calls for some time steps.
        many: those for more.
    """
    pairs = _paired(few, many)
    own = {number: many[other].operators - few[number].operators for number, other in pairs.items()}
    grown = dict(own)
    for number, more in own.items():
        if few[number].outer in grown:
            grown[few[number].outer] -= more
    loops = {number for number, more in grown.items() if more}
    outermost = (number for number in sorted(loops) if not loops & {*_around(few, number)})
    return list(dict.fromkeys(few[number].path for number in outermost))


def _paired(few: Sequence[Call], many: Sequence[Call]) -> dict[int, int]:
    """Pair calls that are made as often, by calls that are paired: others belong to a loop."""
    counts = [
        {path: [number for number, call in enumerate(calls) if call.path == path] for path in _paths(calls)}
        for calls in (few, many)
    ]
    as_often = {
        one: other
        for path, numbers in counts[0].items()
        if len(numbers) == len(counts[1].get(path, ()))
        for one, other in zip(numbers, counts[1][path], strict=True)
    }
    return {
        one: other for one, other in as_often.items() if all(outer in as_often for outer in _around(few, one))
    }


def _paths(calls: Sequence[Call]) -> set[str]:
    return {call.path for call in calls}


def _around(calls: Sequence[Call], number: int) -> Iterator[int]:
    """Give the calls that a call was made in."""
    while (number := calls[number].outer) >= 0:
        yield number


def along(calls: Sequence[Sequence[Tensor | None]]) -> list[tuple[int | None, int | None]]:
    """Find the axes of time and batch of some tensors, by what the calls of a model give for them.

    Args:
        calls: the tensors of one call, of the same one with more time steps, and with more rows.

    An axis that grows with both is the batch's: pieces of a sequence may be rows.
    """
    found = list[tuple[int | None, int | None]]()
    for one, longer, more in zip(*calls, strict=True):
        rows = _changed(one, more)
        steps = [axis for axis in _changed(one, longer) if axis not in rows]
        found.append((steps[0] if len(steps) == 1 else None, rows[0] if len(rows) == 1 else None))
    return found


def _changed(one: Any, other: Any) -> list[int]:
    return [axis for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b]
