"""What goes into a module and comes out of it; a state is what it takes, and returns again."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError, RnnExportError, class_name, mismatch
from rnn_export.module.calling import OtherCallError, describe

DTYPES = (torch.float32, torch.float64, torch.int64, torch.bool)  # that a tensor of a call may have
EXPECTED = "float32, float64, int64 or bool"
HALF = "Convert it with .float(), and leave torch.autocast out: files compute in float32."
WHOLE = "Convert it: other whole numbers to int64."


def check_dense(tensors: Sequence[Tensor]) -> None:
    """Check that the tensors of the example hold numbers, one beside the other.

    Raises:
        InputError: one does not.
    """
    for tensor in tensors:
        if tensor.is_meta or tensor.layout != torch.strided:
            kind = "meta" if tensor.is_meta else tensor.layout
            expected = "tensors with numbers of their own, in a dense layout"
            remedy = "Convert it: to_dense()."
            if tensor.is_meta:
                remedy = "Pass a tensor on the CPU, as torch.zeros_like(it, device='cpu') gives."
            raise InputError(mismatch("example", expected, f"{describe(tensor)}, {kind}", remedy))


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
            raise ModelError(mismatch(class_name(model), expected, got, remedy))


def _is_quantized(value: object) -> bool:
    """Whether an attribute of a module holds quantized numbers, or weights that PyTorch packed for them."""
    if isinstance(value, Tensor):
        return value.is_quantized
    return isinstance(value, torch.ScriptObject) and not isinstance(value, torch.ScriptModule)


def check_kinds(where: str, leaves: Sequence[Tensor], error: type[RnnExportError]) -> None:
    """Check that tensors of a call are of kinds that files have.

    Raises:
        RnnExportError: one is not.
    """
    for leaf in leaves:
        if leaf.dtype not in DTYPES:
            remedy = HALF if leaf.is_floating_point() else WHOLE
            raise error(mismatch(where, EXPECTED, describe(leaf), remedy))
        if not leaf.numel():
            raise error(mismatch(where, "at least one number", describe(leaf), "Leave empty tensors out."))


def check_new_state(leaves: Sequence[Tensor], new: Sequence[Tensor]) -> None:
    """Check that the new state has the dtypes and shapes of the one that came in.

    Raises:
        OtherCallError: what comes out is something else.
        ModelError: it is the state in other shapes or dtypes.
    """
    kinds = [(leaf.dtype, leaf.shape) for leaf in leaves]
    if [(leaf.dtype, leaf.shape) for leaf in new] == kinds:
        return
    got, expected = describe(list(new)), describe(list(leaves))
    if [leaf.numel() for leaf in new] != [leaf.numel() for leaf in leaves]:
        raise OtherCallError(f"it takes {expected} and gives {got}")
    remedy = "Return the new state with the dtypes and shapes of the state that came in."
    raise ModelError(mismatch("state that forward() returns", expected, got, remedy))
