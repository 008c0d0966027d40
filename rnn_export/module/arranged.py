"""Calls as people write them, brought to the one call that the rest of the package knows.

::

    net(x, h, c)                      -> y, h, c                  net((x, {"hx": h}))
    net({"x": x}, state=State(h, c))  -> {"y": y, "state": State(h, c)}

A tensor that comes back is a state: it is returned with its own dtype and shape, under its own name or in its
own place, and fed back. What is left on either side are the inputs and the outputs. :class:`Arranged` puts
``(*inputs, state) -> (*outputs, state)`` around such a module, ``state`` a plain tuple.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, class_name, mismatch
from rnn_export.module.arguments import Arguments, is_tensor
from rnn_export.module.calling import describe
from rnn_export.module.candidates import Said
from rnn_export.module.naming import INPUTS, Pairs, named, parameter_names
from rnn_export.module.wrappers import Wrapper, original_of
from rnn_export.signature.tree import Path, map_leaves, tree_leaves, tree_paths

MOST = 64  # readings of a result that are tried


def begin_arranged(
    begin: Callable[[int], Any] | None, state: tuple[Tensor, ...] | None
) -> Callable[[int], Any] | None:
    """Give what a module's ``begin_state`` gives as a plain tuple, if that is the whole of the state."""
    if begin is None or state is None:
        return None
    known = begin
    kinds = [(leaf.dtype, leaf.dim()) for leaf in state]
    if [(leaf.dtype, leaf.dim()) for leaf in tree_leaves(known(1)) if is_tensor(leaf)] != kinds:
        return None
    return lambda batch: tuple(tree_leaves(known(batch)))


class Arranged(Wrapper):
    """A module that is called its own way, as ``(*inputs, state) -> (*outputs, state)``, the state a tuple.

    Without ``state`` the module is called without these arguments, if it may be.
    """

    def __init__(
        self, model: nn.Module, arguments: Arguments, inputs: tuple[int, ...], pairs: Pairs, results: Any
    ) -> None:
        super().__init__(model)
        self.arguments, self.inputs, self.pairs = arguments, inputs, pairs
        paths = [path for path, leaf in tree_paths(results) if is_tensor(leaf)]
        self.results = map_leaves(results, lambda leaf: None)  # how they are nested
        new = [came for _, came in pairs]
        self.outputs = [path for number, path in enumerate(paths) if number not in new]
        self.new = [paths[came] for came in new]
        self.names = named(model, arguments, inputs, pairs, paths)

    @property
    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Copies of the arguments and of the keyword arguments that the module was shown."""
        return self.arguments.given([leaf.clone() for _, leaf in self.arguments.leaves])

    def forward(self, *given: Any) -> Any:
        """Run the module: ``(*inputs, state) -> (*outputs, state)``, or the outputs alone if it has none."""
        own, tensors = self.arguments, [leaf for _, leaf in self.arguments.leaves]
        inputs, state = given[: len(self.inputs)], given[len(self.inputs) :]
        for place, leaf in zip(self.inputs, inputs, strict=True):
            tensors[place] = leaf
        if self.pairs and not state:
            places = [went for went, _ in self.pairs]
            left = own.without(places)
            if left is None:
                raise InputError(f"{class_name(self.original)} cannot be called without its state.")
            own, tensors = left, [leaf for number, leaf in enumerate(tensors) if number not in places]
        else:
            for (went, _), leaf in zip(self.pairs, state[0] if state else (), strict=True):
                tensors[went] = leaf
        args, kwargs = own.given(tensors)
        return self._picked(self.original(*args, **kwargs))

    def _picked(self, result: Any) -> Any:
        """Pick the outputs and the new state out of what the module returned."""
        found = dict(tree_paths(result))
        missing = [path for path in (*self.outputs, *self.new) if not is_tensor(found.get(path))]
        if missing:
            where = "".join(f"[{part!r}]" for part in missing[0])
            raise ModelError(
                mismatch(
                    f"result of {class_name(self.original)}.forward()",
                    f"a tensor in result{where}, as the example gave",
                    describe(result),
                    "Return the same tensors in every call.",
                )
            )
        state = tuple(found[path] for path in self.new)
        outputs = [found[path] for path in self.outputs] or [state[0]]
        return (*outputs, state) if state else outputs[0] if len(outputs) == 1 else tuple(outputs)


class StepsOverTime(Wrapper):
    """An arranged one-step module, ``(*inputs, state) -> (*outputs, state)``, over all time steps.

    ``timed`` says which of its inputs have a time axis here, in front; the others are those of every time
    step. Each of its outputs has one.
    """

    def __init__(self, step: Arranged, timed: Sequence[bool]) -> None:
        super().__init__(step)
        self.timed = tuple(timed)

    def forward(self, *given: Any) -> Any:
        """Run the step over time."""
        *inputs, state = given
        steps = next(len(each.unbind(0)) for each, timed in zip(inputs, self.timed, strict=True) if timed)
        outputs = list[list[Tensor]]()
        for step in range(steps):
            now = [each[step] if timed else each for each, timed in zip(inputs, self.timed, strict=True)]
            *results, state = self.original(*now, map_leaves(state, Tensor.clone))  # it may change its state
            outputs.append(results)
        return (*map(torch.stack, zip(*outputs, strict=True)), state)


def readings(
    model: nn.Module, arguments: Arguments, said: Said
) -> Iterator[list[tuple[Arranged, tuple[Tensor, ...], tuple[Tensor, ...]]]]:
    """Give the ways to read a call as ``(*inputs, state) -> (*outputs, state)``, with inputs and state.

    In lists: first those with the most tensors of the state, in each those first in which the inputs stand in
    front, and the outputs as well.

    Raises:
        InputError: the module fails on the example, or what is said is of no argument.
        ModelError: it returns no tensor.
    """
    leaves, called = arguments.leaves, parameter_names(model, arguments)
    said.check({*called, INPUTS} if len(leaves) == 1 else called)
    kept = {place for place, name in enumerate(called) if said.roles.get(name, "state") != "state"}
    kept |= {place for place, name in enumerate(called) if "time" in said.axes.get(name, ())}
    result = _called(model, arguments)
    came = [(path, leaf) for path, leaf in tree_paths(result) if is_tensor(leaf)]
    if not came:
        remedy = "Return tensors, in tuples, lists, dicts, named tuples or dataclasses."
        raise ModelError(mismatch("result of forward()", "tensors", describe(result), remedy))
    fixed = {
        place: number
        for place, number in _by_name(leaves, came).items()
        if place not in kept and not _may_be_counts(leaves[place][1], came[number][1])
    }
    others = [
        place
        for place, (_, leaf) in enumerate(leaves)
        if place not in fixed and place not in kept and any(_alike(leaf, new) for _, new in came)
    ]
    for number in range(min(len(others), len(leaves) - len(fixed) - 1), -1, -1):
        found = []
        for chosen in reversed([*combinations(others, number)]):
            states = sorted([*fixed, *chosen])
            inputs = tuple(place for place in range(len(leaves)) if place not in states)
            if any(said.roles.get(called[place]) == "state" for place in inputs):
                continue
            for pairs in _matches(leaves, states, fixed, came):
                state = tuple(leaves[went][1] for went, _ in pairs)
                arranged = Arranged(model, arguments, inputs, pairs, result).eval()
                found.append((arranged, tuple(leaves[place][1] for place in inputs), state))
        yield found[:MOST]


def _called(model: nn.Module, arguments: Arguments) -> Any:
    args, kwargs = arguments.given([leaf.clone() for _, leaf in arguments.leaves])
    try:
        return model(*args, **kwargs)
    except Exception as error:
        given = ", ".join(
            [*map(describe, args), *(f"{name}={describe(value)}" for name, value in kwargs.items())]
        )
        raise InputError(
            f"{class_name(original_of(model))} failed on ({given}): {error}. Pass an example that the "
            "model takes: export(model, args, folder, kwargs=...) calls model(*args, **kwargs)."
        ) from error


def _by_name(leaves: Sequence[tuple[Path, Tensor]], came: Sequence[tuple[Path, Tensor]]) -> dict[int, int]:
    """Find the tensors that go in and come back under a name of their own."""
    fixed = dict[int, int]()
    for place, (went, given) in enumerate(leaves):
        own = [
            number
            for number, (path, leaf) in enumerate(came)
            if path[-1:] == went[-1:] and _alike(leaf, given)
        ]
        if isinstance(went[-1], str) and len(own) == 1 and own[0] not in fixed.values():
            fixed[place] = own[0]
    return fixed if len(fixed) < len(leaves) else {}


def _may_be_counts(given: Tensor, new: Tensor) -> bool:
    """Whether a tensor may count the time steps of rows, and be given back."""
    return given.dim() == 1 and given.dtype == torch.int64 and torch.equal(given, new)


def _matches(
    leaves: Sequence[tuple[Path, Tensor]],
    places: Sequence[int],
    fixed: Mapping[int, int],
    came: Sequence[tuple[Path, Tensor]],
) -> Iterator[Pairs]:
    """List how tensors that go in may come back: by their names, and else in their order."""
    rest = [place for place in places if place not in fixed]
    free = [number for number in range(len(came)) if number not in fixed.values()]
    for chosen in reversed([*combinations(free, len(rest))][-MOST:]):  # outputs come first, as a rule
        pairs = zip(rest, chosen, strict=True)
        if all(_alike(leaves[went][1], came[number][1]) for went, number in pairs):
            known = {**fixed, **dict(zip(rest, chosen, strict=True))}
            yield tuple((place, known[place]) for place in places)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
