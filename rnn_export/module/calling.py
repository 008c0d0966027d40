"""How people write ``forward``, against the one call that the rest of the package knows.

    (*inputs, *state) -> (*outputs, *new_state)

Every leaf of the state is a tensor of its own there. A module may wrap its state in tuples and lists, return
it in another wrapping than it takes it, or not at all, and return its outputs as a list with one tensor a
time step. One that takes or gives several tensors beside its state is arranged first
(:mod:`rnn_export.module.arguments`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnn_export.errors import InputError, ModelError, mismatch
from rnn_export.signature.tree import Tree, names_of, parts_of, tree_leaves, tree_of, tree_pairs

OUTPUTS = "outputs"
ANOTHER_EXAMPLE = "Pass an example that model(inputs, state) takes."
ROUNDINGS = 16  # of the largest number of a result: by so much may two calls differ
REMEDY = "Return (outputs, state): the outputs of all time steps or of the last one, the state as it came in."


@dataclass(frozen=True)
class Calling:
    """How a module is called and what it returns, with the leaves called as in the signature.

    Attributes:
        takes: how the module wraps the state that it takes; ``None`` if it takes none.
        gives: the whole result: the outputs, and the leaves of the new state, by the names of the old ones.
            Without any output the first leaf of the new state is what comes out.
        outputs: the names of the outputs.
        inputs: the number of tensors that go in before the state.
        listed: whether the outputs are a Python list with one tensor a time step.
        in_place: whether the module changes its arguments, which are copied for it then.
    """

    takes: Tree | None
    gives: Tree
    outputs: tuple[str, ...] = (OUTPUTS,)
    inputs: int = 1
    listed: bool = False
    in_place: bool = False

    @property
    def plain(self) -> bool:
        """Whether it is ``(*inputs, state) -> (*outputs, state)``, with the state in one wrapping."""
        return not self.listed and not self.in_place and self.gives == {"tuple": [*self.outputs, self.takes]}

    def results(self, result: Any, state: Sequence[str]) -> tuple[Tensor, ...]:
        """Pick the outputs and some leaves of the new state out of what the module returned."""
        found = dict(tree_pairs(self.gives, result))
        outputs = [found[name] for name in self.outputs if name in found] or [next(iter(found.values()))]
        stacked = [torch.stack(each) for each in outputs] if self.listed else outputs
        return (*stacked, *(found[name] for name in state))


class OtherCallError(ModelError):
    """A call is not ``(inputs, state) -> (outputs, state)`` in tuples and lists."""


class OtherStepError(OtherCallError, InputError):
    """A call of a single time step is not ``(x_t, state) -> (output, state)``."""


class OpenAxesError(InputError):
    """An example leaves it open which axis is which, or which argument is a sequence."""


@dataclass(frozen=True)
class Reading:
    """What a module returned: the outputs, stacked, the leaves of the new state, and how all is wrapped."""

    outputs: list[Tensor]
    state: list[Tensor]
    gives: Tree
    listed: bool

    @property
    def tensors(self) -> list[Tensor]:
        """All that came out, the outputs first."""
        return [*self.outputs, *self.state]


def read(result: Any, steps: Collection[int], outputs: tuple[str, ...] = (OUTPUTS,)) -> Reading:
    """Read what a module returned; ``steps`` are the possible numbers of time steps.

    Several outputs, by these names, are a tuple of them, with the state behind them if there is one.

    Raises:
        OtherCallError: there is more than tuples and lists around the tensors.
        ModelError: it is neither outputs nor ``(outputs, state)``.
    """
    if len(outputs) > 1:
        state = result[len(outputs) :]
        leaves = [tree_of(part, names_of(part)) for part in state]
        return Reading([*result[: len(outputs)]], tree_leaves(state), {"tuple": [*outputs, *leaves]}, False)
    if not _is_plain(result):
        raise OtherCallError(mismatch("result of forward()", "(outputs, state)", describe(result), REMEDY))
    if isinstance(result, Tensor) or _is_listed(result, steps):
        return _reading(result, [], OUTPUTS, steps)
    if not isinstance(result, tuple | list) or not result:
        raise ModelError(mismatch("result of forward()", "(outputs, state)", describe(result), REMEDY))
    first, *rest = result
    names = iter(names_of(rest))
    inside: list[Tree] = [tree_of(part, [next(names) for _ in tree_leaves(part)]) for part in rest]
    kind = "tuple" if isinstance(result, tuple) else "list"
    return _reading(first, tree_leaves(rest), {kind: [OUTPUTS, *inside]}, steps)


def _reading(outputs: Any, state: list[Any], gives: Tree, steps: Collection[int]) -> Reading:
    listed = _is_listed(outputs, steps)
    if not (listed or isinstance(outputs, Tensor)) or not all(isinstance(leaf, Tensor) for leaf in state):
        leaves = [*tree_leaves(outputs), *state]
        if any(isinstance(leaf, Tensor) for leaf in leaves) and all(map(_is_tensor_or_none, leaves)):
            raise OtherCallError("what it returns holds several outputs, or None beside tensors")
        got = f"{describe(outputs)} and a state of {describe(state)}"
        expected = "outputs as a tensor, or a list of one a time step, and a state of tensors"
        raise ModelError(mismatch("result of forward()", expected, got, REMEDY))
    return Reading([torch.stack(outputs) if listed else outputs], state, gives, listed)


def _is_tensor_or_none(leaf: object) -> bool:
    return leaf is None or isinstance(leaf, Tensor)


def _is_plain(result: Any) -> bool:
    if isinstance(result, tuple | list):
        return all(map(_is_plain, result))
    return parts_of(result) is None


def _is_listed(outputs: Any, steps: Collection[int]) -> bool:
    """Whether it is a list with a tensor of the same shape for each time step."""
    parts = outputs if isinstance(outputs, list) else []
    return len(parts) in steps and all(
        isinstance(part, Tensor) and part.shape == parts[0].shape for part in parts
    )


def equal(got: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether tensors are the same, NaN like NaN."""
    return len(got) == len(expected) and all(
        one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
        for one, other in zip(got, expected, strict=True)
    )


def agree(got: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether tensors are the same but for a few roundings of the largest number.

    Two calls of one matrix product may differ by so much: the order of its sums depends on where its
    arguments lie in memory.
    """
    return len(got) == len(expected) and all(map(_are_close, got, expected))


def _are_close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    differs = (one != other) & ~(one.isnan() & other.isnan())
    if not differs.any():
        return True
    if not one.is_floating_point():
        return False
    largest = float(other[other.isfinite()].abs().max()) if bool(other.isfinite().any()) else 0.0
    return bool(((one - other)[differs].abs() <= ROUNDINGS * torch.finfo(one.dtype).eps * largest).all())


def describe(value: object) -> str:
    """Say what a value is: dtypes and shapes, in their wrapping."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list):
        inside = ", ".join(describe(child) for child in value)
        kind = "" if type(value) in (tuple, list) else type(value).__name__
        return f"{kind}({inside})" if isinstance(value, tuple) else f"{kind}[{inside}]"
    parts = parts_of(value)
    if parts is not None:
        inside = ", ".join(f"{name}={describe(child)}" for name, child in parts)
        return f"{type(value).__name__}({inside})"
    return type(value).__name__
