"""A state that a module keeps to itself: ``outputs, _ = self.layer(inputs)``.

Submodules that return ``(outputs, state)`` and would take such a state are run with one from outside, and
theirs is handed out. The result is a module with a state as any other; whether it is a fold is checked as
for any other.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.module.calling import agree
from rnn_export.module.wrappers import Wrapper, original_of
from rnn_export.signature.tree import map_leaves, tree_leaves


class Exposed(Wrapper):
    """A module and the paths of the submodules whose state comes from outside: ``(*inputs, states)``.

    ``outputs`` is how many of its results are no state of its own: the first ones.
    """

    def __init__(self, model: nn.Module, paths: tuple[str, ...], outputs: int) -> None:
        super().__init__(model)
        self.paths, self.outputs = paths, outputs

    def forward(self, *given: Any) -> tuple[Any, ...]:
        """Run the module, each submodule with its state; give the outputs and the new states."""
        *inputs, states = given
        result, new = self.run(inputs, states)
        return (*_parts(result)[: self.outputs], new)

    def run(self, inputs: Sequence[Tensor], states: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """Run the module, each submodule with its state; give all that it returns, and the new states."""
        given, new = dict(zip(self.paths, states, strict=True)), {}

        def replace(path: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            return (arguments[0], given[path])

        def keep(path: str, result: Any) -> None:
            new[path] = result[1]

        with _watched(self.original, self.paths, replace, keep):
            result = self.original(*inputs)
        return result, tuple(new[path] for path in self.paths)


class Begun(Exposed):
    """The same, of a module whose submodules begin with numbers that it has learned.

    ``inputs`` are those of any call, and ``batch`` their batch axes.
    """

    def __init__(self, exposed: Exposed, inputs: Sequence[Tensor], batch: Sequence[int]) -> None:
        super().__init__(exposed.original, exposed.paths, exposed.outputs)
        self.inputs, self.batch = tuple(inputs), tuple(batch)

    def begin_state(self, batch_size: int, device: torch.device) -> tuple[Any, ...]:
        """Give what the submodules begin with in a call of so many rows."""
        rows = torch.arange(batch_size)
        calls = _calls(
            self.original,
            [
                each.index_select(axis, rows % each.shape[axis])
                for each, axis in zip(self.inputs, self.batch, strict=True)
            ],
        )
        return tuple(calls[path][0] for path in self.paths)


def expose(
    model: nn.Module, inputs: Sequence[Tensor], outputs: int, batch: Sequence[int]
) -> tuple[Exposed, tuple[Any, ...]] | None:
    """Hand out the state of the outermost recurrent submodules of ``model(*inputs)``.

    Args:
        model: may be called without a state.
        inputs: the example's.
        outputs: how many of its results are no state: the first ones.
        batch: the batch axis of each input.

    Gives the module and the states that it begins with, or ``None`` if there are no such submodules, if one
    is run more than once or begins with what depends on the inputs, if states from outside change the
    outputs, or if the module returns anything beside its outputs that is none of the new states.
    """
    calls = _calls(model, inputs)
    found = {path: made[0] for path, made in calls.items() if len(made) == 1}
    inside = {path for path in found for outer in found if path != outer and path.startswith(f"{outer}.")}
    starts = {path: start for path, start in found.items() if path not in inside}
    twice = any(len(made) > 1 for path, made in calls.items() if path not in inside)
    if not starts or twice:
        return None
    exposed, states = Exposed(model, tuple(starts), outputs).eval(), tuple(starts.values())
    if any(leaf.any() for leaf in tree_leaves(states)):
        other = [each.flip([*range(each.dim())]) for each in inputs]
        if not agree(tree_leaves([_calls(model, other)[path][0] for path in starts]), tree_leaves(states)):
            return None
        exposed = Begun(exposed, inputs, batch).eval()
    with torch.no_grad():
        try:
            own = _parts(model(*map(torch.clone, inputs)))[:outputs]
            same = agree(own, exposed(*map(torch.clone, inputs), states)[:-1])
            whole = same and _returns_states_alone(exposed, inputs, states)
        except Exception:  # whatever the submodule raises: it does not take such a state
            return None
    return (exposed, states) if whole else None


def _parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _returns_states_alone(exposed: Exposed, inputs: Sequence[Tensor], states: tuple[Any, ...]) -> bool:
    """Whether all that the module returns beside its outputs is a new state of a submodule."""
    begun = map_leaves(states, lambda leaf: torch.linspace(-1, 1, leaf.numel()).to(leaf).view(leaf.shape))
    result, new = exposed.run([tensor.clone() for tensor in inputs], begun)
    rest = tree_leaves(_parts(result)[exposed.outputs :])
    return all(any(agree([leaf], [state]) for state in tree_leaves(new)) for leaf in rest)


def _calls(model: nn.Module, inputs: Sequence[Tensor]) -> dict[str, list[Any]]:
    """Run the module; list the states that submodules begin with which return ``(outputs, state)``."""
    calls: dict[str, list[Any]] = {}
    starts: dict[str, Any] = {}
    whole = original_of(model)  # of two outputs the second one is none of its state
    paths = tuple(
        path for path, module in model.named_modules() if path and module is not whole and _takes_two(module)
    )

    def note(path: str, arguments: tuple[Any, ...]) -> None:
        starts[path] = arguments[1] if len(arguments) > 1 else None

    def keep(path: str, result: Any) -> None:
        pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)
        if pair and all(isinstance(leaf, Tensor) for leaf in tree_leaves(result[1])):
            zeros = map_leaves(result[1], torch.zeros_like)
            start = zeros if starts[path] is None else starts[path]
            if _shapes(start) == _shapes(zeros):  # or its second argument is something else
                calls.setdefault(path, []).append(start)

    with torch.no_grad(), _watched(model, paths, note, keep):
        model(*map(torch.clone, inputs))
    return calls


def _shapes(state: Any) -> list[Any]:
    return [getattr(leaf, "shape", None) for leaf in tree_leaves(state)]


def _takes_two(module: nn.Module) -> bool:
    """Whether ``forward`` may take a second positional argument; not if it is compiled and tells nothing."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (AttributeError, TypeError, ValueError):
        return False
    return sum(parameter.kind in kinds for parameter in parameters) > 1


@contextmanager
def _watched(
    model: nn.Module,
    paths: tuple[str, ...],
    before: Callable[[str, tuple[Any, ...]], tuple[Any, ...] | None],
    after: Callable[[str, Any], None],
) -> Iterator[None]:
    """Call functions before and after some submodules run; the first may change the arguments."""

    def enter(path: str) -> Callable[..., Any]:
        def hook(module: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
            changed = before(path, (*arguments, *named.values()))
            return None if changed is None else (changed, {})

        return hook

    def leave(path: str) -> Callable[..., None]:
        return lambda module, arguments, result: after(path, result)

    handles = []
    for path in paths:
        module = model.get_submodule(path)
        handles.append(module.register_forward_pre_hook(enter(path), with_kwargs=True))
        handles.append(module.register_forward_hook(leave(path)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
