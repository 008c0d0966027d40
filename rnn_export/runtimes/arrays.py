"""What callers have, as numpy arrays: tensors of torch, lists, and what has ``__array__`` or DLPack.

A dtype that an array or a tensor has stays, and has to be the right one. Numbers in lists have none: they get
that of the model if no number changes its kind, as fractions for whole numbers would.
"""

from typing import Any

import numpy as np

from rnn_export.errors import InputError, mismatch
from rnn_export.signature.tensors import Array, TensorSpec

DENSE = "torch.strided"  # the layout of tensors of torch that numpy reads
KINDS = "a numpy array, a torch tensor, a list, or what has __array__ or DLPack"


def as_array(value: Any, spec: TensorSpec) -> Array:
    """Give a value as an array; one that is none of those is refused.

    Raises:
        InputError: it holds no numbers, or numbers of another kind.
    """
    if isinstance(value, np.ndarray):
        return value
    where = f"argument {spec.name!r}"
    if isinstance(value, list | tuple):
        return _of_numbers(value, spec, where)
    if not (hasattr(value, "__array__") or hasattr(value, "__dlpack__")):
        raise InputError(mismatch(where, f"{spec}", type(value).__name__, f"Pass {KINDS}."))
    try:
        for step in ("detach", "cpu"):  # a tensor of torch with a gradient, or on a GPU
            value = getattr(value, step)() if hasattr(value, step) else value
        return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise InputError(mismatch(where, f"{spec}", *_unread(value, error, spec))) from error


def _unread(value: Any, error: Exception, spec: TensorSpec) -> tuple[str, str]:
    """Say what came that numpy does not read, and what to do: a tensor of torch without numbers, say."""
    remedy = f"Convert it to {spec.dtype}, on the CPU."
    if not (hasattr(value, "dtype") and hasattr(value, "shape")):
        return f"{type(value).__name__}: {str(error).rstrip('.')}", remedy
    got = f"{value.dtype} {list(value.shape)}".removeprefix("torch.")
    if getattr(value, "is_meta", False):
        return f"{got}, meta", "Pass one with numbers, on the CPU."
    if str(getattr(value, "layout", DENSE)) != DENSE:
        return f"{got}, {value.layout}", "Pass it with to_dense()."
    return got, remedy


def _of_numbers(value: list[Any] | tuple[Any, ...], spec: TensorSpec, where: str) -> Array:
    remedy = "Pass the state behind the inputs: runner(inputs, state)." if isinstance(value, tuple) else ""
    try:
        found = np.asarray(value)
    except (TypeError, ValueError) as error:
        got = f"{type(value).__name__}, of parts of several lengths"
        raise InputError(mismatch(where, f"{spec}", got, remedy or "Pad the rows to one length.")) from error
    if not np.can_cast(found.dtype, spec.dtype, "same_kind"):
        got = f"{type(value).__name__} of {found.dtype}"
        raise InputError(mismatch(where, f"{spec}", got, f"Pass numbers that are {spec.dtype}."))
    return found.astype(spec.dtype)
