"""How people write ``forward``, against the one call that the rest of the package knows.

    (inputs, *state) -> (outputs, *new_state)

Every leaf of the state is a tensor of its own there, the outputs are one tensor. A module may wrap its state
in tuples and lists, return it in another wrapping than it takes it, or not at all, and return its outputs as
a list with one tensor a time step.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, mismatch
from rnn_export.signature import TIME, Signature, Tree, tree_build, tree_leaves, tree_of

OUTPUTS = "outputs"
REMEDY = "Return (outputs, state): the outputs of all time steps or of the last one, the state as it came in."


@dataclass(frozen=True)
class Calling:
    """How a module is called and what it returns, with the leaves called as in the signature.

    Attributes:
        takes: how the module wraps the state that it takes; ``None`` if it takes none.
        gives: the whole result: ``"outputs"``, and the leaves of the new state, by the names of the old ones.
            Without ``"outputs"`` the first leaf of the new state is what comes out.
        listed: whether the outputs are a Python list with one tensor a time step.
    """

    takes: Tree | None
    gives: Tree
    listed: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is ``(inputs, state) -> (outputs, state)``, with the state in one wrapping."""
        return not self.listed and self.gives == {"tuple": [OUTPUTS, self.takes]}

    def results(self, result: Any, state: Sequence[str]) -> tuple[Tensor, ...]:
        """Pick the outputs and some leaves of the new state out of what the module returned."""
        found = dict(tree_pairs(self.gives, result))
        outputs = found.get(OUTPUTS, next(iter(found.values())))
        return (torch.stack(outputs) if self.listed else outputs, *(found[name] for name in state))


class Flat(nn.Module):
    """A module with every leaf of its state a parameter and a result of its own."""

    def __init__(
        self, model: nn.Module, calling: Calling, takes: Sequence[str], gives: Sequence[str]
    ) -> None:
        super().__init__()
        self.model = model
        self.calling, self.takes, self.gives = calling, tuple(takes), tuple(gives)

    def forward(self, inputs: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
        """Run the module: ``(inputs, *state) -> (outputs, *new_state)``."""
        named = dict(zip(self.takes, leaves, strict=True))
        arguments = () if self.calling.takes is None else (wrap(self.calling.takes, named),)
        return self.calling.results(self.model(inputs, *arguments), self.gives)


class Ragged(nn.Module):
    """A flat module that takes lengths as well: each row is run alone, over its own time steps."""

    def __init__(self, flat: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.flat, self.signature = flat, signature

    def forward(self, inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        """Run the rows: ``(inputs, *state, lengths) -> (outputs, *new_state)``."""
        *state, lengths = rest
        rows = [self._row(number, int(length), inputs, state) for number, length in enumerate(lengths)]
        results = zip(self.signature.results, zip(*rows, strict=True), strict=True)
        return tuple(torch.cat(parts, spec.batch_axis) for spec, parts in results)

    def _row(self, number: int, length: int, inputs: Tensor, state: Sequence[Tensor]) -> list[Tensor]:
        spec = self.signature.outputs
        specs = zip((inputs, *state), self.signature.arguments, strict=False)
        first, *before = (leaf.narrow(of.batch_axis, number, 1) for leaf, of in specs)
        axis = self.signature.inputs.shape.index(TIME)
        time = inputs.shape[axis]
        if length == 0:
            nothing = torch.zeros(spec.sized(time=time, batch=1))  # in the precision that is run in
            return [nothing, *before[: len(self.signature.returned_state)]]
        got, *after = self.flat(first.narrow(axis, 0, length), *before)
        if spec.time_axis is None:
            return [got, *after]
        ended = torch.zeros(spec.sized(time=time - length, batch=1), dtype=got.dtype)
        return [torch.cat([got, ended], spec.time_axis), *after]


class Wrapper(nn.Module):
    """What this package puts around the user's module, ``original``, to give it a loop or a state."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original = original


class Unrolled(Wrapper):
    """A one-step module, ``forward(x_t, state)``, run over all time steps of ``inputs`` (time in front)."""

    def __init__(self, cell: nn.Module, takes: Tree, only_state: bool) -> None:
        super().__init__(cell)
        self.takes, self.only_state = takes, only_state

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run the step over time; what it returns beside the state is the output, or else its first leaf."""
        outputs = []
        for x_t in inputs.unbind(0):
            result = self.original(x_t, state)
            leaves = tree_leaves(result if self.only_state else list(result[1:]))
            outputs.append(leaves[0] if self.only_state else result[0])
            state = wrap(self.takes, dict(enumerate_names(leaves)))
        return torch.stack(outputs), state


def copied(model: nn.Module) -> nn.Module:
    """Copy a module, scripted or not, to the CPU and without gradients."""
    with torch.no_grad():
        twin = copy.deepcopy(model).cpu()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin


def enumerate_names(leaves: Sequence[Any]) -> list[tuple[str, Any]]:
    """Name the leaves of a state.

    >>> enumerate_names(["H", "C"])
    [('state_0', 'H'), ('state_1', 'C')]
    """
    return [(f"state_{number}", leaf) for number, leaf in enumerate(leaves)]


def names_of(value: Any) -> list[str]:
    """Give the names of the leaves of a state."""
    return [name for name, _ in enumerate_names(tree_leaves(value))]


def wrap(tree: Tree, named: Mapping[str, Any]) -> Any:
    """Wrap named leaves as the tree says."""
    return tree_build(tree, named.__getitem__)


def tree_pairs(tree: Tree, value: Any) -> list[tuple[str, Any]]:
    """Pair the names of a tree with the leaves of a value that is wrapped like it.

    >>> tree_pairs({'tuple': ['outputs', {'list': ['H']}]}, (1, [2]))
    [('outputs', 1), ('H', 2)]
    """
    if isinstance(tree, str):
        return [(tree, value)]
    [children] = tree.values()
    return [pair for child, part in zip(children, value, strict=True) for pair in tree_pairs(child, part)]


@dataclass(frozen=True)
class Reading:
    """What a module returned: ``outputs`` stacked, the leaves of the new state, and how all is wrapped."""

    outputs: Tensor
    state: list[Tensor]
    gives: Tree
    listed: bool


def read(result: Any, steps: Collection[int]) -> Reading:
    """Read what a module returned; ``steps`` are the possible numbers of time steps.

    Raises:
        ModelError: it is neither outputs nor ``(outputs, state)``.
    """
    if isinstance(result, Tensor) or _is_listed(result, steps):
        return _reading(result, [], OUTPUTS, steps)
    if not isinstance(result, tuple | list) or not result:
        raise ModelError(mismatch("result of forward()", "(outputs, state)", describe(result), REMEDY))
    outputs, *rest = result
    names = iter(names_of(rest))
    inside: list[Tree] = [tree_of(part, [next(names) for _ in tree_leaves(part)]) for part in rest]
    kind = "tuple" if isinstance(result, tuple) else "list"
    return _reading(outputs, tree_leaves(rest), {kind: [OUTPUTS, *inside]}, steps)


def _reading(outputs: Any, state: list[Any], gives: Tree, steps: Collection[int]) -> Reading:
    listed = _is_listed(outputs, steps)
    if not (listed or isinstance(outputs, Tensor)) or not all(isinstance(leaf, Tensor) for leaf in state):
        got = f"{describe(outputs)} and a state of {describe(state)}"
        expected = "outputs as a tensor, or a list of one a time step, and a state of tensors"
        raise ModelError(mismatch("result of forward()", expected, got, REMEDY))
    return Reading(torch.stack(outputs) if listed else outputs, state, gives, listed)


def _is_listed(outputs: Any, steps: Collection[int]) -> bool:
    """Whether it is a list with a tensor of the same shape for each time step."""
    parts = outputs if isinstance(outputs, list) else []
    return len(parts) in steps and all(
        isinstance(part, Tensor) and part.shape == parts[0].shape for part in parts
    )


def own_start(run: Callable[[Tensor, Any], Reading], inputs: Tensor, reading: Reading) -> Any:
    """Give the state of zeros that the module begins with by itself; ``None`` if it takes no state.

    Raises:
        InputError: it takes a state, and zeros are not what it begins with.
    """
    zeros = list(map(torch.zeros_like, reading.state))
    same = None
    for state in _wrappings(reading.gives, zeros):
        try:
            again = run(inputs, state)
        except (InputError, ModelError):
            continue
        same = equal([again.outputs, *again.state], [reading.outputs, *reading.state])
        if same:
            return state
    if same is None:
        return None
    raise InputError(
        mismatch(
            "state None",
            "the same results as a state of zeros",
            "others",
            "Pass the state in the example, and give the module begin_state(batch_size, device).",
        )
    )


def _wrappings(gives: Tree, leaves: list[Tensor]) -> list[Any]:
    """List how a module may want the state that it returns: as it comes, or its only leaf wrapped."""
    if not leaves:
        return []
    [[_, *parts]] = gives.values()  # type: ignore[union-attr]
    whole: Tree = parts[0] if len(parts) == 1 else {"tuple": parts}
    wrapped = [wrap(whole, dict(enumerate_names(leaves)))]
    return [*wrapped, leaves[0], (leaves[0],), [leaves[0]]] if len(leaves) == 1 else wrapped


def equal(got: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether tensors are the same, NaN like NaN."""
    return len(got) == len(expected) and all(
        one.shape == other.shape and torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(got, expected, strict=True)
    )


def unroll(cell: nn.Module, x_t: Tensor, state: Any) -> tuple[Unrolled, Any]:
    """Make a sequence module of a one-step module; give it with the state that it begins with.

    A state of ``None`` means that the cell is called without one: it begins with zeros then.

    Raises:
        InputError: the cell fails, or what it returns is neither its new state nor ``(output, state)``.
    """
    result = _step(cell, x_t, *(() if state is None else (state,)))
    for only_state in (True, False):
        if not only_state and not (isinstance(result, tuple | list) and len(result) > 1):
            break
        new = result if only_state or not isinstance(result, tuple | list) else _unwrapped(result[1:])
        start = map_leaves(new, torch.zeros_like) if state is None else state
        if _returns(cell, x_t, start, tree_leaves(new)):
            return Unrolled(cell, tree_of(start, names_of(start)), only_state), start
    raise InputError(
        mismatch(
            f"result of a step of {type(cell).__name__}",
            "its new state, or (output, state)",
            describe(result),
            "The new state has as many tensors, of the same shapes, as the state that came in.",
        )
    )


def _step(cell: nn.Module, x_t: Tensor, *state: Any) -> Any:
    try:
        with torch.no_grad():
            return cell(x_t, *state)
    except Exception as error:
        raise InputError(
            f"a step of {type(cell).__name__} failed on x_t {describe(x_t)}: {error}. "
            "Pass an example (x_t, state) that model(x_t, state) takes, x_t without a time axis."
        ) from error


def _returns(cell: nn.Module, x_t: Tensor, start: Any, new: list[Any]) -> bool:
    """Whether the cell takes this state, and its new state has the same shapes."""
    shapes = [leaf.shape for leaf in tree_leaves(start)]
    if [getattr(leaf, "shape", None) for leaf in new] != shapes:
        return False
    try:
        _step(cell, x_t, start)
    except InputError:
        return False
    return True


def _unwrapped(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else tuple(parts)


def map_leaves(state: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every leaf of nested tuples and lists."""
    if isinstance(state, tuple | list):
        return type(state)(map_leaves(child, function) for child in state)
    return function(state)


def describe(value: object) -> str:
    """Say what a value is: dtypes and shapes, in their wrapping."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list):
        inside = ", ".join(describe(child) for child in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    return type(value).__name__
