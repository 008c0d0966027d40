"""What callers have, as numpy arrays: tensors of torch, lists, and what has ``__array__`` or DLPack.

A dtype that an array or a tensor has stays, and has to be the right one. Numbers in lists have none: they get
that of the model if no number changes its kind, as fractions for whole numbers would.
"""

from typing import Any

import numpy as np

from rnn_export.errors import InputError, mismatch
from rnn_export.signature.tensors import Array, TensorSpec

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
    for step in ("detach", "cpu"):  # a tensor of torch with a gradient, or on a GPU
        value = getattr(value, step)() if hasattr(value, step) else value
    try:
        return np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        got, remedy = f"{type(value).__name__}: {error}", f"Convert it to {spec.dtype}, on the CPU."
        raise InputError(mismatch(where, f"{spec}", got, remedy)) from error


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
