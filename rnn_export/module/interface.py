"""What goes into a module and comes out of it: nothing may be renamed or lost without a word.

A state is what a module takes, returns, and takes again. What else it takes or returns is not exported yet,
and refused by its name.
"""

import inspect
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, RnnExportError, mismatch
from rnn_export.module.calling import describe

DTYPES = (torch.float32, torch.float64, torch.int64, torch.bool)  # that a tensor of a call may have
EXPECTED = "float32, float64, int64 or bool"
CONVERT = "Convert it: other whole numbers to int64, complex numbers to two real ones."
LENGTHS = "If it is the number of time steps of each row, leave it out here and pass lengths=True."


def check_dense(tensors: Sequence[Tensor]) -> None:
    """Check that the tensors of the example hold numbers, one beside the other.

    Raises:
        InputError: one does not.
    """
    for tensor in tensors:
        if tensor.is_meta or tensor.layout != torch.strided:
            kind = "meta" if tensor.is_meta else tensor.layout
            expected = "tensors with numbers of their own, in a dense layout"
            raise InputError(mismatch("example", expected, f"{describe(tensor)}, {kind}", "Convert it."))


def check_not_quantized(model: nn.Module) -> None:
    """Check that no weight is quantized: those have neither gradients nor a float64 reference.

    Raises:
        ModelError: one is.
    """
    for name, module in model.named_modules():
        own = [*vars(module).values(), *module.parameters(recurse=False), *module.buffers(recurse=False)]
        if any(map(_is_quantized, own)):
            kind = f"{type(module).__module__}.{type(module).__qualname__}"
            expected, got = "weights in floating point", f"quantized ones in {name or 'itself'}, {kind}"
            remedy = "Export the module as it was before it was quantized."
            raise ModelError(mismatch(type(model).__name__, expected, got, remedy))


def _is_quantized(value: object) -> bool:
    """Whether an attribute of a module holds quantized numbers, or weights that PyTorch packed for them."""
    if isinstance(value, Tensor):
        return value.is_quantized
    return isinstance(value, torch.ScriptObject) and not isinstance(value, torch.ScriptModule)


def refuse_argument(model: nn.Module, state: Any, inputs: Tensor) -> NoReturn:
    """Refuse a second argument that does not come back: it is no state.

    Raises:
        ModelError: always.
    """
    lengths = (
        isinstance(state, Tensor)
        and state.dtype == torch.int64
        and list(state.shape)
        in (
            [inputs.shape[0]],
            [inputs.shape[1]],
        )
    )
    raise ModelError(
        mismatch(
            f"second argument of {type(model).__name__}.forward(), {_second(model)!r}",
            "a state, which comes back with the outputs as it is after the call",
            f"{describe(state)} that does not come back",
            "Return (outputs, state); if it is what the state begins with, give the module "
            "begin_state(batch_size, device). Other arguments beside the inputs cannot be exported: make "
            f"them features of the inputs. {LENGTHS if lengths else ''}".strip(),
        )
    )


def _second(model: nn.Module) -> str:
    """Give the name of the second parameter of ``forward``."""
    try:
        names = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        names = []
    return names[1] if len(names) > 1 else "state"


def check_nothing_is_lost(model: nn.Module, extra: tuple[Tensor, ...]) -> None:
    """Check that a module returns nothing but its outputs and a state that it takes.

    Args:
        model: the user's module.
        extra: what comes out beside the outputs, and is no such state.

    Raises:
        ModelError: there is something else.
    """
    if extra:
        raise ModelError(
            mismatch(
                f"result of {type(model).__name__}.forward()",
                "outputs alone, or (outputs, state) with a state that forward() takes",
                f"{len(extra) + 1} results; beside the first one, {describe(list(extra))} would be lost",
                "Return one tensor, concatenated from several, and the state as it is taken.",
            )
        )


def check_kinds(where: str, leaves: Sequence[Tensor], error: type[RnnExportError]) -> None:
    """Check that tensors of a call are of kinds that files have.

    Raises:
        RnnExportError: one is not.
    """
    for leaf in leaves:
        if leaf.dtype not in DTYPES:
            raise error(mismatch(where, EXPECTED, describe(leaf), CONVERT))
        if not leaf.numel():
            raise error(mismatch(where, "at least one number", describe(leaf), "Leave empty tensors out."))


def check_new_state(leaves: Sequence[Tensor], new: Sequence[Tensor]) -> None:
    """Check that the new state has the dtypes and shapes of the one that came in.

    Raises:
        ModelError: it has others.
    """
    kinds = [(leaf.dtype, leaf.shape) for leaf in leaves]
    if [(leaf.dtype, leaf.shape) for leaf in new] != kinds:
        got, expected = describe(list(new)), describe(list(leaves))
        remedy = "Return the new state with the dtypes and shapes of the state that came in."
        raise ModelError(mismatch("state that forward() returns", expected, got, remedy))
