"""What this package puts around the user's module."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, class_name, mismatch
from rnn_export.module.calling import Calling, OtherStepError, describe
from rnn_export.module.output_length import Along, size_along
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import OutputSpec, TensorSpec
from rnn_export.signature.tree import (
    Tree,
    enumerate_names,
    map_leaves,
    names_of,
    tree_leaves,
    tree_of,
    with_parts,
    wrap,
)


class Flat(nn.Module):
    """A module with every tensor that goes in or comes out a parameter or a result of its own."""

    def __init__(
        self, model: nn.Module, calling: Calling, takes: Sequence[str], gives: Sequence[str]
    ) -> None:
        super().__init__()
        self.model = model
        self.calling, self.takes, self.gives = calling, tuple(takes), tuple(gives)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the module: ``(*inputs, *state) -> (*outputs, *new_state)``."""
        if self.calling.in_place:
            tensors = tuple(tensor.clone() for tensor in tensors)
        inputs, leaves = tensors[: self.calling.inputs], tensors[self.calling.inputs :]
        named = dict(zip(self.takes, leaves, strict=True))
        arguments = () if self.calling.takes is None else (wrap(self.calling.takes, named),)
        return self.calling.results(self.model(*inputs, *arguments), self.gives)


class Ragged(nn.Module):
    """A flat module that takes lengths as well: each row is run alone, over its own time steps."""

    def __init__(self, flat: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.flat, self.signature = flat, signature

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        """Run the rows: ``(*inputs, *state, lengths) -> (*outputs, *new_state)``."""
        *given, lengths = arguments
        rows = [self._row(number, int(length), given) for number, length in enumerate(lengths)]
        results = zip(self.signature.results, zip(*rows, strict=True), strict=True)
        return tuple(torch.cat(parts, spec.batch_axis) for spec, parts in results)

    def _row(self, number: int, length: int, given: Sequence[Tensor]) -> list[Tensor]:
        signature = self.signature
        inputs, outputs = len(signature.inputs), len(signature.outputs)
        sizes = signature.sizes(given[:inputs]) | {BATCH: 1}
        specs = zip(given, signature.arguments, strict=False)
        row = [leaf.narrow(of.batch_axis, number, 1) for leaf, of in specs]
        if length == 0:  # nothing comes out, in the precision that is run in
            nothing = [_ended(spec, spec.sized(**sizes), _own(spec)) for spec in signature.outputs]
            return [*nothing, *row[inputs:][: len(signature.returned_state)]]
        cut = [
            part if spec.time_axis is None else part.narrow(spec.time_axis, 0, length)
            for part, spec in zip(row[:inputs], signature.inputs, strict=True)
        ]
        results = self.flat(*cut, *row[inputs:])
        ended = [
            _lengthened(part, spec, sizes[TIME] - length)
            for part, spec in zip(results[:outputs], signature.outputs, strict=True)
        ]
        return [*ended, *results[outputs:]]


def _own(spec: TensorSpec) -> torch.dtype:
    """Give the dtype of what is no float; floats have the one that is run in."""
    kind = torch.get_default_dtype() if spec.dtype.startswith("float") else getattr(torch, spec.dtype)
    assert isinstance(kind, torch.dtype)
    return kind


def _ended(spec: OutputSpec, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Give what stands behind the end of a row; zeros, if there is no time axis."""
    exact = "float64" if dtype.is_floating_point else spec.dtype
    number = spec.ended(exact) if spec.time_axis is not None else np.zeros(())
    return torch.tensor(number, dtype=dtype).expand(shape)


def _lengthened(part: Tensor, spec: OutputSpec, steps: int) -> Tensor:
    """Put the padding behind the last time step, if there is a time axis."""
    if spec.time_axis is None:
        return part
    shape = [steps if axis == spec.time_axis else size for axis, size in enumerate(part.shape)]
    return torch.cat([part, _ended(spec, shape, part.dtype)], spec.time_axis)


class Wrapper(nn.Module):
    """What this package puts around the user's module, ``original``, to give it a loop or a state."""

    def __init__(self, original: nn.Module) -> None:
        super().__init__()
        self.original = original


def original_of(model: nn.Module) -> nn.Module:
    """Give the user's module, without what this package puts around it."""
    return original_of(model.original) if isinstance(model, Wrapper) else model


class Unflattened(Wrapper):
    """A module some of whose outputs have time and batch as one axis: here they have both.

    ``axes`` are those of time and batch in the inputs, ``orders`` the order of the two in each output that
    is flattened, by its number.
    """

    def __init__(
        self, model: nn.Module, time: Along, batch: tuple[int, ...], orders: Mapping[int, tuple[str, str]]
    ) -> None:
        super().__init__(model)
        self.time, self.batch, self.orders = time, batch, orders

    def forward(self, *given: Any) -> Any:
        """Run the module, and take the axes apart."""
        inputs = given[: len(self.batch)]
        sizes = {TIME: size_along(inputs, self.time), BATCH: size_along(inputs, self.batch)}
        result = self.original(*given)
        parts = [result] if isinstance(result, Tensor) else list(result)
        for number, order in self.orders.items():
            part = parts[number]
            parts[number] = part.reshape(*(sizes[name] for name in order), *part.shape[1:])
        return parts[0] if isinstance(result, Tensor) else with_parts(result, parts)


class CellOverTime(Wrapper):
    """A one-step module, ``forward(x_t, state)``, run over all time steps of ``inputs`` (time in front)."""

    def __init__(self, cell: nn.Module, takes: Tree, only_state: bool) -> None:
        super().__init__(cell)
        self.takes, self.only_state = takes, only_state

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run the step over time; what it returns beside the state is the output, or else its first leaf."""
        outputs = []
        for x_t in inputs.unbind(0):
            result = self.original(x_t, map_leaves(state, torch.clone))  # it may change its state in place
            leaves = tree_leaves(result if self.only_state else list(result[1:]))
            outputs.append(leaves[0] if self.only_state else result[0])
            state = wrap(self.takes, dict(enumerate_names(leaves)))
        return torch.stack(outputs), state


def over_time(cell: nn.Module, x_t: Tensor, state: Any) -> tuple[CellOverTime, Any]:
    """Make a sequence module of a one-step module; give it with the state that it begins with.

    A state of ``None`` means that the cell is called without one: it begins with zeros then.

    Raises:
        InputError: the cell fails, or what it returns is neither its new state nor ``(output, state)``, or is
            as well ``(state, output)``.
    """
    result = _step(cell, x_t, *(() if state is None else (state,)))
    for only_state in (True, False):
        if not only_state and not (isinstance(result, tuple | list) and len(result) > 1):
            break
        new = result if only_state or not isinstance(result, tuple | list) else _unwrapped(result[1:])
        start = map_leaves(new, torch.zeros_like) if state is None else state
        if _returns(cell, x_t, start, tree_leaves(new)):
            if not only_state and len(result) > 2:
                _check_output_is_first(cell, x_t, state, result)
            return CellOverTime(cell, tree_of(start, names_of(start)), only_state), start
    raise OtherStepError(
        mismatch(
            f"result of a step of {class_name(cell)}",
            "its new state, or (output, state)",
            describe(result),
            "The new state has as many tensors, of the same shapes, as the state that came in.",
        )
    )


def _check_output_is_first(cell: nn.Module, x_t: Tensor, state: Any, result: Sequence[Any]) -> None:
    """Refuse ``(a, b, c)`` where ``(b, c)`` may be the new state, and ``(a, b)`` as well."""
    start = map_leaves(tuple(result[:-1]), torch.zeros_like) if state is None else state
    if _returns(cell, x_t, start, tree_leaves(list(result[:-1]))):
        raise InputError(
            mismatch(
                f"result of a step of {class_name(cell)}",
                "to see which of the tensors is the output",
                f"{describe(result)}, where the first or the last one can be it",
                "Return (output, state), with the state in a tuple of its own.",
            )
        )


def _step(cell: nn.Module, x_t: Tensor, *state: Any) -> Any:
    own = [map_leaves(part, torch.clone) for part in state]
    try:
        with torch.no_grad():
            return cell(x_t.clone(), *own)
    except Exception as error:
        raise InputError(
            f"a step of {class_name(cell)} failed on x_t {describe(x_t)}: {error}. "
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
