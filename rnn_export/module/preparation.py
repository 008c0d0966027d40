"""What comes in, before it is called: a copy of the module, and the dtypes of the example."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, class_name, mismatch, warn
from rnn_export.module.calling import describe
from rnn_export.module.copying import copied, with_forward
from rnn_export.module.interface import check_kinds, check_not_quantized
from rnn_export.module.wrappers import original_of
from rnn_export.signature.tree import tree_leaves

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
HALVES = torch.float16, torch.bfloat16
CPU = torch.device("cpu")
SEVERAL = 5  # names in an error


def copy_of(model: nn.Module) -> tuple[nn.Module, list[bool]]:
    """Copy a module in eval mode; give with it which of its submodules were in training mode.

    Half precision, for which no file has tolerances, becomes float32.

    Raises:
        ModelError: it is no module that can be called, is quantized, or cannot be copied.
    """
    if not isinstance(model, nn.Module):
        raise _no_module(model)
    check_not_quantized(model)
    own = with_forward(_copy(model))
    modes = [
        getattr(module, "training", False) for module in original_of(own).modules()
    ]  # none if it is frozen
    if any(tensor.dtype in HALVES for tensor in (*own.parameters(), *own.buffers())):
        warn(
            f"{class_name(own)} is in half precision. Its files are in float32, and compared with a copy "
            "of it in float32: the module itself differs from them by what its own rounding makes."
        )
        own = own.float()
    return own.eval(), modes


def _no_module(model: object) -> ModelError:
    """Say what came instead of a module."""
    got, remedy = class_name(model), "Pass an instance."
    if isinstance(model, type):
        got, remedy = f"the class {model.__name__}", f"Pass an instance: {model.__name__}(...)."
    elif isinstance(model, Mapping):
        remedy = "Pass an instance: build the model, and model.load_state_dict(...) these weights."
    return ModelError(mismatch("model", "a torch.nn.Module", got, remedy))


def _copy(model: nn.Module) -> nn.Module:
    empty = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    if empty:
        remedy = "Load them with load_state_dict(..., assign=True), or build the model on the CPU."
        got = f"parameters on meta: {', '.join(empty[:SEVERAL])}"
        raise ModelError(mismatch(class_name(model), "parameters with numbers", got, remedy))
    try:
        return copied(model)
    except Exception as error:
        raise ModelError(
            f"{class_name(model)} cannot be copied: {error}. The export works on a copy; "
            "make the module work with copy.deepcopy()."
        ) from error


def dtype_of(model: nn.Module, example: Sequence[Tensor]) -> torch.dtype:
    """Give the dtype of the parameters; of the buffers or the example, if there are none."""
    kinds = ([*model.parameters()], [*model.buffers()], [*example], [torch.zeros((), dtype=torch.float32)])
    dtypes = ({tensor.dtype for tensor in kind if tensor.is_floating_point()} for kind in kinds)
    found = next(filter(None, dtypes))
    if len(found) != 1 or not found <= set(DTYPES):
        raise ModelError(
            mismatch(
                "parameters of the model",
                "one dtype, float32 or float64",
                ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in found)),
                "Convert it with model.float() or model.double().",
            )
        )
    return found.pop()


def check_inputs(inputs: Sequence[Tensor], dtype: torch.dtype, *, step: bool) -> None:
    """Check the dtypes and the ranks of the inputs.

    Raises:
        InputError: one cannot be a sequence for the module, nor a context beside one.
    """
    if len(inputs) == 1:
        _check_sequence(inputs[0], dtype, step=step)
        return
    check_kinds("example", inputs, InputError)
    for tensor in inputs:
        if (tensor.is_floating_point() and tensor.dtype != dtype) or not tensor.dim():
            expected = f"{DTYPES[dtype]}, int64 or bool, with an axis for the batch"
            remedy = f"Convert it to {dtype}; give every row its own entry."
            raise InputError(mismatch("an input of the example", expected, describe(tensor), remedy))


def _check_sequence(inputs: Tensor, dtype: torch.dtype, *, step: bool) -> None:
    tokens = not inputs.is_floating_point()
    axes = "[batch" if step else "[time, batch"
    expected = f"token ids int64 {axes}]" if tokens else f"{DTYPES[dtype]} {axes}, features]"
    if inputs.dtype != (torch.int64 if tokens else dtype) or not inputs.dim() or 0 in inputs.shape:
        remedy = "Time and batch are axes of the inputs; batch alone for a one-step module (step=True)."
        if inputs.dim() and 0 in inputs.shape:
            remedy = "Pass an example of at least one time step and one row."
        elif inputs.dim() and tokens:
            remedy = "Convert it: example.long()."
        elif inputs.dim():
            cast, model = ("float", "double") if dtype == torch.float32 else ("double", "float")
            remedy = f"Convert it, example.{cast}(), or the model, model.{model}()."
        raise InputError(mismatch("example 'inputs'", expected, describe(inputs), remedy))


def begin_of(model: nn.Module) -> Callable[[int], Any] | None:
    """Give the module's ``begin_state(batch_size, device)``, if it has one."""
    begin_state = getattr(model, "begin_state", None)
    if begin_state is None:
        return None

    def begin(batch: int) -> Any:
        try:
            return begin_state(batch, CPU)
        except Exception as error:
            raise ModelError(
                f"begin_state({batch}, device) of {class_name(model)} failed: {error}. It is called as "
                "begin_state(batch_size, device) for the initial state."
            ) from error

    return begin


def check_state_dtypes(state: Any, dtype: torch.dtype) -> None:
    """Check the dtypes of a state, or of ``None``.

    Raises:
        InputError: one is neither that of the parameters, nor int64 or bool.
    """
    check_kinds("example 'state'", [] if state is None else tree_leaves(state), InputError)
    for number, leaf in enumerate([] if state is None else tree_leaves(state)):
        if leaf.is_floating_point() and leaf.dtype != dtype:
            expected = f"{DTYPES[dtype]}, the dtype of the parameters"
            raise InputError(
                mismatch(
                    f"example 'state', tensor {number}", expected, describe(leaf), f"Convert it to {dtype}."
                )
            )


def warn_of_nan(model: nn.Module) -> None:
    """Say so if parameters hold NaN."""
    names = [name for name, tensor in model.named_parameters() if tensor.isnan().any()]
    if names:
        warn(f"NaN in the parameters {', '.join(names)}. The files reproduce it: NaN is compared with NaN.")
