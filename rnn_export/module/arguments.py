"""Calls as people write them, brought to the one call that the rest of the package knows.

::

    net(x, h, c)                      -> y, h, c                  net((x, {"hx": h}))
    net({"x": x}, state=State(h, c))  -> {"y": y, "state": State(h, c)}

A tensor that comes back is a state: it is returned with its own dtype and shape, under its own name or in its
own place, and fed back. What is left on either side are the inputs and the outputs. :class:`Arranged` puts
``(inputs, state) -> (outputs, state)`` around such a module, ``state`` a plain tuple.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, mismatch
from rnn_export.module.calling import describe
from rnn_export.module.interface import check_dense
from rnn_export.module.wrappers import Wrapper
from rnn_export.signature.tree import Path, map_leaves, tree_leaves, tree_paths

Pairs = tuple[tuple[int, int], ...]  # numbers of tensors that go in, and of those that they come out as
PLAIN = (tuple, list)  # wrappings that files have as well
MOST = 64  # readings of a result that are tried
RESERVED = {"inputs", "outputs", "lengths"}


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call: tensors in any nesting, and what else ``forward`` takes, as it is."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    @property
    def leaves(self) -> list[tuple[Path, Tensor]]:
        """The tensors that go in, in the order of the flattened arguments, each with its path."""
        return [(path, leaf) for path, leaf in tree_paths((self.args, dict(self.kwargs))) if _is_tensor(leaf)]

    @property
    def plain(self) -> bool:
        """Whether it is ``(inputs)`` or ``(inputs, state)``, the state in tuples and lists, or ``None``."""
        if self.kwargs or len(self.args) not in (1, 2) or not isinstance(self.args[0], Tensor):
            return False
        return all(part is None or _is_plain(part) for part in self.args[1:])

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Arguments":
        """Give the arguments with a function applied to each tensor."""
        return Arguments(*self.given([function(leaf) for _, leaf in self.leaves]))

    def given(self, tensors: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give the arguments with other tensors, in the order of :attr:`leaves`."""
        rest = iter(tensors)
        args, kwargs = map_leaves(
            (self.args, dict(self.kwargs)), lambda leaf: next(rest) if _is_tensor(leaf) else leaf
        )
        return args, kwargs

    def without(self, places: Sequence[int]) -> "Arguments | None":
        """Leave some tensors out: the arguments that hold them, if these may be left out together."""
        paths = [self.leaves[place][0] for place in places]
        kept = [path for number, (path, _) in enumerate(self.leaves) if number not in places]
        first = min((int(path[1]) for path in paths if path[0] == 0), default=len(self.args))
        named = {path[1] for path in paths if path[0] == 1}
        if any(
            (path[0] == 0 and int(path[1]) >= first) or (path[0] == 1 and path[1] in named) for path in kept
        ):
            return None
        rest = {name: value for name, value in self.kwargs.items() if name not in named}
        return Arguments(self.args[:first], rest)


def arguments_of(example: Any, kwargs: Mapping[str, Any] | None) -> Arguments:
    """Take an example apart: a tensor, a dict, or what else is no tuple or list is one argument.

    Raises:
        InputError: it holds no tensor, one without numbers of its own, or an array that is none.
    """
    args = tuple(example) if isinstance(example, tuple | list) and type(example) in PLAIN else (example,)
    found = Arguments(args, dict(kwargs or {}))
    arrays = [leaf for leaf in tree_leaves((args, found.kwargs)) if isinstance(leaf, np.ndarray)]
    if arrays:
        got = f"an array, {arrays[0].dtype} {list(arrays[0].shape)}"
        raise InputError(mismatch("example", "tensors", got, "Convert it with torch.from_numpy()."))
    if not found.leaves:
        given = describe(example if not kwargs else (*args, *found.kwargs.values()))
        remedy = "Pass what one call of the model takes."
        raise InputError(mismatch("example", "(inputs, state), or inputs alone, as tensors", given, remedy))
    check_dense([leaf for _, leaf in found.leaves])
    return found.mapped(lambda leaf: leaf.detach().cpu())


def begin_arranged(
    begin: Callable[[int], Any] | None, state: tuple[Tensor, ...] | None
) -> Callable[[int], Any] | None:
    """Give what a module's ``begin_state`` gives as a plain tuple, if that is the whole of the state."""
    if begin is None or state is None:
        return None
    known = begin
    kinds = [(leaf.dtype, leaf.dim()) for leaf in state]
    if [(leaf.dtype, leaf.dim()) for leaf in tree_leaves(known(1)) if _is_tensor(leaf)] != kinds:
        return None
    return lambda batch: tuple(tree_leaves(known(batch)))


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor, or tensors in tuples and lists."""
    if isinstance(value, tuple | list):
        return type(value) in PLAIN and all(map(_is_plain, value))
    return isinstance(value, Tensor)


class Arranged(Wrapper):
    """A module that is called its own way, as ``(inputs, state) -> (outputs, state)``, the state a tuple.

    Without ``state`` the module is called without these arguments, if it may be.
    """

    def __init__(
        self, model: nn.Module, arguments: Arguments, inputs: int, pairs: Pairs, results: Any
    ) -> None:
        super().__init__(model)
        self.arguments, self.inputs, self.pairs = arguments, inputs, pairs
        paths = [path for path, leaf in tree_paths(results) if _is_tensor(leaf)]
        new = [came for _, came in pairs]
        self.outputs = [path for number, path in enumerate(paths) if number not in new]
        self.new = [paths[came] for came in new]
        self.names = _names(model, arguments, [went for went, _ in pairs])

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...] | None = None) -> Any:
        """Run the module: ``(inputs, state) -> (outputs, state)``, or the outputs alone if it has none."""
        own, tensors = self.arguments, [leaf for _, leaf in self.arguments.leaves]
        tensors[self.inputs] = inputs
        if self.pairs and state is None:
            places = [went for went, _ in self.pairs]
            left = own.without(places)
            if left is None:
                raise InputError(f"{type(self.original).__name__} cannot be called without its state.")
            own, tensors = left, [leaf for number, leaf in enumerate(tensors) if number not in places]
        else:
            for (went, _), leaf in zip(self.pairs, state or (), strict=True):
                tensors[went] = leaf
        args, kwargs = own.given(tensors)
        return self._picked(self.original(*args, **kwargs))

    def _picked(self, result: Any) -> Any:
        """Pick the outputs and the new state out of what the module returned."""
        found = dict(tree_paths(result))
        missing = [path for path in (*self.outputs, *self.new) if not _is_tensor(found.get(path))]
        if missing:
            where = "".join(f"[{part!r}]" for part in missing[0])
            raise ModelError(
                mismatch(
                    f"result of {type(self.original).__name__}.forward()",
                    f"a tensor in result{where}, as the example gave",
                    describe(result),
                    "Return the same tensors in every call.",
                )
            )
        state = tuple(found[path] for path in self.new)
        outputs = found[self.outputs[0]] if self.outputs else state[0]
        return (outputs, state) if state else outputs


def readings(model: nn.Module, arguments: Arguments) -> Iterator[tuple[Arranged, Tensor, tuple[Tensor, ...]]]:
    """Give the ways to read a call as ``(inputs, state) -> (outputs, state)``, each with inputs and state.

    First those in which more tensors have their own names on both sides, then those that keep their order.

    Raises:
        InputError: the module fails on the example.
        ModelError: there is none: what goes in beside one tensor does not come back.
    """
    leaves = arguments.leaves
    result = _called(model, arguments)
    came = [(path, leaf) for path, leaf in tree_paths(result) if _is_tensor(leaf)]
    if not came:
        remedy = "Return tensors, in tuples, lists, dicts, named tuples or dataclasses."
        raise ModelError(mismatch("result of forward()", "tensors", describe(result), remedy))
    found, too_many = False, False
    for number in range(len(leaves)):
        others = [place for place in range(len(leaves)) if place != number]
        for pairs in _matches(leaves, others, came):
            if len(came) > len(pairs) + 1:
                too_many = True
                continue
            found = True
            state = tuple(leaves[went][1] for went, _ in pairs)
            yield Arranged(model, arguments, number, pairs, result).eval(), leaves[number][1], state
    if not found and too_many:
        raise _several(model, [path for path, _ in came], len(leaves) - 1)
    if not found:
        raise _not_returned(model, arguments, came)


def _called(model: nn.Module, arguments: Arguments) -> Any:
    args, kwargs = arguments.given([leaf.clone() for _, leaf in arguments.leaves])
    try:
        return model(*args, **kwargs)
    except Exception as error:
        given = ", ".join(
            [*map(describe, args), *(f"{name}={describe(value)}" for name, value in kwargs.items())]
        )
        raise InputError(
            f"{type(model).__name__} failed on ({given}): {error}. Pass an example that the model takes: "
            "export(model, args, folder, kwargs=...) calls model(*args, **kwargs)."
        ) from error


def _matches(
    leaves: Sequence[tuple[Path, Tensor]], places: Sequence[int], came: Sequence[tuple[Path, Tensor]]
) -> Iterator[Pairs]:
    """List how tensors that go in may come back: by their names, and else in their order."""
    fixed = dict[int, int]()
    for place in places:
        name = leaves[place][0][-1]
        own = [
            k
            for k, (path, leaf) in enumerate(came)
            if path and path[-1] == name and _alike(leaf, leaves[place][1])
        ]
        if isinstance(name, str) and len(own) == 1 and own[0] not in fixed.values():
            fixed[place] = own[0]
    rest = [place for place in places if place not in fixed]
    free = [number for number in range(len(came)) if number not in fixed.values()]
    for chosen in reversed([*combinations(free, len(rest))][-MOST:]):  # outputs come first, as a rule
        pairs = zip(rest, chosen, strict=True)
        if all(_alike(leaves[went][1], came[number][1]) for went, number in pairs):
            known = fixed | dict(zip(rest, chosen, strict=True))
            yield tuple((place, known[place]) for place in places)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


def _not_returned(model: nn.Module, arguments: Arguments, came: Sequence[tuple[Path, Tensor]]) -> ModelError:
    """Say which arguments are neither the inputs nor a state."""
    names = parameter_names(model, arguments)
    kinds = [(leaf.shape, leaf.dtype) for _, leaf in came]
    lost = [
        f"{name} ({describe(leaf)})"
        for name, (_, leaf) in zip(names, arguments.leaves, strict=True)
        if (leaf.shape, leaf.dtype) not in kinds
    ]
    return ModelError(
        mismatch(
            f"arguments of {type(model).__name__}.forward()",
            "one tensor of inputs, and states, which come back with the outputs as they are after the call",
            f"{' and '.join(lost[1:] or lost)} that do not come back",
            "Other arguments beside the inputs cannot be exported yet: make them features of the inputs.",
        )
    )


def _several(model: nn.Module, paths: Sequence[Path], states: int) -> ModelError:
    """Refuse several outputs: all but one would be lost."""
    names = [".".join(map(str, path)) or "result" for path in paths]
    return ModelError(
        mismatch(
            f"result of {type(model).__name__}.forward()",
            f"one tensor of outputs, and {states} of the state that forward() takes",
            f"{len(names)} tensors ({', '.join(names)}), of which all but one would be lost",
            "Return one tensor, concatenated from several, and the state as it is taken.",
        )
    )


def parameter_names(model: nn.Module, arguments: Arguments) -> list[str]:
    """Name the tensors that go in: by the field or key that holds each, or the parameter of ``forward``."""
    try:
        parameters = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError, AttributeError):
        parameters = []
    found = []
    for path, _ in arguments.leaves:
        kind, *inside = path
        outer = inside[0]
        if kind == 0:
            outer = parameters[int(outer)] if int(outer) < len(parameters) else f"argument_{outer}"
        words = [str(outer), *map(str, inside[1:])]
        found.append(words[-1] if isinstance(inside[-1], str) or len(inside) == 1 else "_".join(words))
    return found


def _names(model: nn.Module, arguments: Arguments, states: Sequence[int]) -> list[str] | None:
    """Give the states the module's own names, where there are several and each has one."""
    paths = [arguments.leaves[place][0] for place in states]
    named = all(isinstance(path[-1], str) or len(path) == 2 for path in paths)
    names = [parameter_names(model, arguments)[place] for place in states]
    usable = named and len(names) > 1 and len({*names}) == len(names) and not RESERVED & {*names}
    return names if usable and all(map(str.isidentifier, names)) else None
