"""What comes in: the user's module and its example, checked before anything is done with them."""

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import ExportWarning, InputError, ModelError, mismatch
from rnn_export.signature import BATCH, TIME, Signature, StateSpec, TensorSpec, tree_leaves, tree_of

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


@dataclass(frozen=True)
class Subject:
    """A module with its example: a copy on the CPU in eval mode, and what a call of it looks like."""

    model: nn.Module
    inputs: Tensor
    state: Any
    signature: Signature

    @property
    def class_name(self) -> str:
        """The qualified name of the module's class."""
        return f"{type(self.model).__module__}.{type(self.model).__qualname__}"

    @property
    def source_modules(self) -> list[str]:
        """The Python modules that define the net's classes, PyTorch's own left out."""
        names = {type(module).__module__ for module in self.model.modules()}
        return sorted(name for name in names if name.partition(".")[0] != "torch")


def examine(model: nn.Module, example: tuple[Tensor, Any]) -> Subject:
    """Check a module and its example ``(inputs, state)``, and find out what a call looks like.

    Args:
        model: takes ``(inputs, state)`` and gives ``(outputs, new_state)``. It is copied, not changed.
        example: ``inputs`` of shape ``[T, B, features]``, or token ids ``[T, B]`` (int64); ``state`` is a
            tensor or nested tuples and lists of tensors, each with a batch axis (often the first).

    Raises:
        InputError: the example is not what the module takes.
        ModelError: the module has parameters of several or of unsupported dtypes, or cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise ModelError(mismatch("model", "a torch.nn.Module", type(model).__name__, "Pass an instance."))
    inputs, state = _split(example)
    inputs, state = inputs.detach().cpu(), _map(state, lambda leaf: leaf.detach().cpu())
    trained = _copy(model)
    copied = _copy(model).eval()
    dtype = _dtype(copied)
    _check_inputs(inputs, dtype)
    batch = inputs.shape[1]
    begin = _begin_state(copied, batch)
    axes = _batch_axes(state, begin, _begin_state(copied, batch + 1), batch)
    _check_dtypes(state, dtype)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        result = _run(copied, inputs, state)
        _warn_of_training_mode(trained, inputs, state, tree_leaves(result))
    outputs, new_state = _check_result(result, inputs, state)
    _warn_of_nan(copied)
    signature = _signature(inputs, state, axes, outputs, begin)
    _check_new_state(signature, new_state, batch)
    return Subject(copied, inputs, state, signature)


def _split(example: object) -> tuple[Tensor, Any]:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise InputError(
            mismatch(
                "example", "(inputs, state)", _describe(example), "Pass what one call of the model takes."
            )
        )
    inputs, state = example
    for name, leaf in [("inputs", inputs), *(("state", leaf) for leaf in tree_leaves(state))]:
        if not isinstance(leaf, Tensor):
            raise InputError(
                mismatch(
                    f"example {name!r}",
                    "tensors",
                    _describe(leaf),
                    "State is a tensor, or a tuple or list of them.",
                )
            )
    return inputs, state


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model).cpu().requires_grad_(False)
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be copied: {error}. The export works on a copy; "
            "make the module work with copy.deepcopy()."
        ) from error


def _dtype(model: nn.Module) -> torch.dtype:
    found = {tensor.dtype for tensor in model.parameters() if tensor.is_floating_point()}
    if len(found) != 1 or not found <= set(DTYPES):
        raise ModelError(
            mismatch(
                "parameters of the model",
                "one dtype, float32 or float64",
                ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found)) or "no parameters",
                "Convert it with model.float() or model.double().",
            )
        )
    return found.pop()


def _check_inputs(inputs: Tensor, dtype: torch.dtype) -> None:
    tokens = not inputs.is_floating_point()
    expected = "token ids int64 [time, batch]" if tokens else f"{DTYPES[dtype]} [time, batch, features]"
    wrong_dtype = inputs.dtype != (torch.int64 if tokens else dtype)
    if wrong_dtype or inputs.dim() != (2 if tokens else 3) or 0 in inputs.shape:
        raise InputError(
            mismatch("example 'inputs'", expected, _describe(inputs), "Time comes first, then batch.")
        )


def _begin_state(model: nn.Module, batch: int) -> Any:
    """Call the module's ``begin_state(batch_size, device)``, if it has one."""
    begin_state = getattr(model, "begin_state", None)
    if begin_state is None:
        return None
    try:
        return begin_state(batch, torch.device("cpu"))
    except Exception as error:
        raise ModelError(
            f"begin_state({batch}, device) of {type(model).__name__} failed: {error}. It is called as "
            "begin_state(batch_size, device) for the initial state."
        ) from error


def _batch_axes(state: Any, begin: Any, wider: Any, batch: int) -> list[int]:
    """Find the batch axis of each tensor of the state.

    It is the one that grows with the batch in ``begin_state``; without that, the only one of that size.
    """
    leaves = tree_leaves(state)
    if begin is None:
        return [_only_axis(number, leaf, batch) for number, leaf in enumerate(leaves)]
    expected = list(zip(tree_leaves(begin), tree_leaves(wider), strict=True))
    if len(leaves) != len(expected):
        raise InputError(
            mismatch(
                "example 'state'",
                f"{len(expected)} tensors as begin_state() gives",
                f"{len(leaves)}",
                "Pass model.begin_state(batch_size, device).",
            )
        )
    axes = []
    for number, (leaf, (first, other)) in enumerate(zip(leaves, expected, strict=True)):
        grown = [
            axis for axis, (one, two) in enumerate(zip(first.shape, other.shape, strict=True)) if one != two
        ]
        if leaf.shape != first.shape or len(grown) != 1:
            raise InputError(
                _wrong_state(number, f"{list(first.shape)} as begin_state({batch}, device) gives", leaf)
            )
        axes += grown
    return axes


def _only_axis(number: int, leaf: Tensor, batch: int) -> int:
    axes = [axis for axis, size in enumerate(leaf.shape) if size == batch]
    if not axes:
        raise InputError(_wrong_state(number, f"an axis of the inputs' batch, {batch}", leaf))
    if len(axes) > 1:
        raise InputError(
            mismatch(
                f"example 'state', tensor {number}",
                f"one axis of the inputs' batch, {batch}",
                f"{_describe(leaf)}, where axes {axes} may be it",
                "Pass an example whose batch is unlike the other sizes, or give the module begin_state().",
            )
        )
    return axes[0]


def _wrong_state(number: int, expected: str, leaf: Tensor) -> str:
    remedy = "Make the state for the batch of the inputs."
    return mismatch(f"example 'state', tensor {number}", expected, _describe(leaf), remedy)


def _check_dtypes(state: Any, dtype: torch.dtype) -> None:
    for number, leaf in enumerate(tree_leaves(state)):
        if leaf.is_floating_point() and leaf.dtype != dtype:
            expected = f"{DTYPES[dtype]}, the dtype of the parameters"
            raise InputError(
                mismatch(
                    f"example 'state', tensor {number}", expected, _describe(leaf), f"Convert it to {dtype}."
                )
            )


def _run(model: nn.Module, inputs: Tensor, state: Any) -> Any:
    try:
        return model(inputs, state)
    except Exception as error:
        raise InputError(
            f"{type(model).__name__} failed on the example, inputs {_describe(inputs)}, state "
            f"{[_describe(leaf) for leaf in tree_leaves(state)]}: {error}. "
            "Pass an example that model(inputs, state) takes."
        ) from error


def _check_result(result: Any, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    remedy = "Return (outputs, state), the outputs stacked as [time, batch, ...], the state as it came in."
    if not isinstance(result, tuple | list) or len(result) != 2 or not isinstance(result[0], Tensor):
        raise ModelError(mismatch("result of forward()", "(outputs, state)", _describe(result), remedy))
    outputs, new_state = result
    steps, batch = inputs.shape[:2]
    if outputs.dtype not in DTYPES or outputs.shape[:2] != (steps, batch):
        expected = f"floating point [time={steps}, batch={batch}, ...]"
        raise ModelError(mismatch("outputs of forward()", expected, _describe(outputs), remedy))
    names = [str(number) for number, _ in enumerate(tree_leaves(state))]
    if len(tree_leaves(new_state)) != len(names) or tree_of(new_state, names) != tree_of(state, names):
        raise ModelError(
            mismatch("state that forward() returns", _describe(state), _describe(new_state), remedy)
        )
    return outputs, new_state


def _check_new_state(signature: Signature, new_state: Any, batch: int) -> None:
    for leaf, spec in zip(tree_leaves(new_state), signature.state, strict=True):
        try:
            spec.bind(leaf, {BATCH: batch}, "state that forward() returns")
        except InputError as error:
            raise ModelError(str(error)) from error


def _warn_of_training_mode(model: nn.Module, inputs: Tensor, state: Any, expected: Sequence[Tensor]) -> None:
    """Say so if the module, as it was given, computes something else than in eval mode."""
    if not any(module.training for module in model.modules()):
        return
    got = tree_leaves(_run(model, inputs, state))
    if len(got) != len(expected) or any(
        not torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(got, expected, strict=True)
    ):
        warnings.warn(
            f"{type(model).__name__} is in training mode, where it computes something else (dropout or batch "
            "norm, say). A copy in eval mode is exported; call model.eval() to silence this.",
            ExportWarning,
            stacklevel=4,
        )


def _warn_of_nan(model: nn.Module) -> None:
    names = [name for name, tensor in model.named_parameters() if tensor.isnan().any()]
    if names:
        warnings.warn(
            f"NaN in the parameters {', '.join(names)}. The files reproduce it: NaN is compared with NaN.",
            ExportWarning,
            stacklevel=4,
        )


def _signature(inputs: Tensor, state: Any, axes: Sequence[int], outputs: Tensor, begin: Any) -> Signature:
    def spec(name: str, tensor: Tensor, free: dict[int, str]) -> dict[str, Any]:
        dtype = str(tensor.dtype).removeprefix("torch.")
        return {
            "name": name,
            "dtype": dtype,
            "shape": tuple(free.get(k, size) for k, size in enumerate(tensor.shape)),
        }

    leaves = tree_leaves(state)
    begin_leaves = [None] * len(leaves) if begin is None else tree_leaves(begin)
    specs = tuple(
        StateSpec(**spec(f"state_{number}", leaf, {axis: BATCH}), initial=_initial(first, axis))
        for number, (leaf, axis, first) in enumerate(zip(leaves, axes, begin_leaves, strict=True))
    )
    return Signature(
        inputs=TensorSpec(**spec("inputs", inputs, {0: TIME, 1: BATCH})),
        state=specs,
        outputs=TensorSpec(**spec("outputs", outputs, {0: TIME, 1: BATCH})),
        tree=tree_of(state, [leaf.name for leaf in specs]),
    )


def _initial(first: Tensor | None, axis: int) -> Any:
    """Give one row of ``begin_state`` as plain numbers: one number where all are the same."""
    if first is None:
        return 0
    row = first.select(axis, 0)
    if row.numel() and bool((row == row.flatten()[0]).all()):
        return row.flatten()[0].item()
    return row.tolist()


def _map(state: Any, function: Any) -> Any:
    if isinstance(state, tuple | list):
        return type(state)(_map(child, function) for child in state)
    return function(state)


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list):
        inside = ", ".join(_describe(child) for child in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    return type(value).__name__
