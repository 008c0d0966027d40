"""Whether a signature holds together: what its types and limits alone do not say."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from rnn_export.bundle.untrusted.schema import distinct
from rnn_export.errors import BundleError, mismatch
from rnn_export.signature.signature import Signature, StateSpec, TensorSpec
from rnn_export.signature.sizes import BATCH, TIME

OTHER = "length"  # of outputs that are more or fewer than the time steps
UNITS = 1 << 24  # numbers for each row and time step: a row of a state's first value is made of that size


def check(signature: Signature, where: str) -> None:
    """Check that a signature is one of a call that can be made.

    Raises:
        BundleError: an axis lacks or is there twice, a tensor is too large, two have one name, the tree has
            other leaves than the state, or a first value is none.
    """
    distinct([*signature.input_names, *signature.output_names], where)
    axes = [
        (signature.inputs, [[BATCH, TIME]]),
        (signature.outputs, [[BATCH], [BATCH, TIME], *([] if signature.streamable else [[BATCH, OTHER]])]),
        *((leaf, [[BATCH]]) for leaf in signature.state),
    ]
    for spec, free in axes:
        _check_axes(spec, free, where)
    try:
        for leaf in signature.state:
            _check_initial(leaf)
        _check_tree(signature)
    except (ValueError, OverflowError) as error:
        raise BundleError(f"{where}, {error}. Export the bundle again.") from error


def _check_axes(spec: TensorSpec, free: list[list[str]], where: str) -> None:
    names = [size for size in spec.shape if isinstance(size, str)]
    found = sorted(name if name in (BATCH, TIME) else OTHER for name in names)
    units = prod(size for size in spec.shape if isinstance(size, int))
    if found not in free or units > UNITS:
        expected = f"an axis for each of {free[-1]} and at most {UNITS} units"
        raise BundleError(mismatch(f"{where}, {spec.name!r}", expected, spec, "Export the bundle again."))


def _check_initial(leaf: StateSpec) -> None:
    if not _numbers(leaf.initial):
        raise ValueError(f"{leaf.name!r}: expected numbers as the first value")
    row = [size for size in leaf.shape if isinstance(size, int)]
    value = np.asarray(leaf.initial, leaf.dtype)  # a ValueError if its rows have several lengths
    if value.ndim and list(value.shape) != row:
        raise ValueError(f"{leaf.name!r}: expected a first value of shape {row}, got {list(value.shape)}")


def _check_tree(signature: Signature) -> None:
    if list(_leaves(signature.tree)) != [leaf.name for leaf in signature.state]:
        raise ValueError("tree: expected the leaves of the state")


def _numbers(value: Any) -> bool:
    """Whether a value is a number, or nested lists of them."""
    return all(map(_numbers, value)) if isinstance(value, list) else isinstance(value, int | float)


def _leaves(tree: Any) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case {"tuple": list(children)} | {"list": list(children)} if len(tree) == 1:
            for child in children:
                yield from _leaves(child)
        case _:
            raise ValueError("tree: expected names in tuples and lists")
