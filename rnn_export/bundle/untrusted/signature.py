"""Whether a signature holds together: what its types and limits alone do not say."""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from rnn_export.bundle.untrusted.schema import distinct
from rnn_export.errors import BundleError, mismatch
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME, read_length
from rnn_export.signature.tensors import LENGTHS, StateSpec, TensorSpec

OTHER = "length"  # of outputs that are more or fewer than the time steps
UNITS = 1 << 24  # numbers for each row and time step: a row of a state's first value is made of that size


def check(signature: Signature, where: str) -> None:
    """Check that a signature is one of a call that can be made.

    Raises:
        BundleError: an axis lacks or is there twice, a tensor is too large, two have one name, the tree has
            other leaves than the state, or a first value is none.
    """
    distinct([*signature.input_names, *signature.output_names], where)
    known = set(signature.free_sizes)
    lengths = [[BATCH], [BATCH, TIME]] if signature.timed else [[BATCH]]
    if signature.timed and not signature.streamable:
        lengths += [[BATCH, OTHER], [BATCH, TIME, TIME]]
    axes: list[tuple[TensorSpec, list[list[str]]]] = [
        *((spec, [[BATCH, TIME] if spec.role == "sequence" else [BATCH]]) for spec in signature.inputs),
        *((spec, lengths) for spec in signature.outputs),
        *((leaf, [[BATCH]]) for leaf in signature.state),
    ]
    if not signature.timed and (signature.streamable or signature.lengths):
        raise BundleError(f"{where}, inputs: expected a sequence. Export the bundle again.")
    for spec, free in axes:
        _check_axes(spec, free, set() if isinstance(spec, StateSpec) else known, where)
    for listed, own in ((signature.takes, signature.input_names), (signature.gives, signature.output_names)):
        names = [name for name in own if name != LENGTHS.name]
        if listed and sorted(listed) != sorted(names):
            raise BundleError(f"{where}, takes and gives: expected the names of the call. Export it again.")
    try:
        for leaf in signature.state:
            _check_numbers(leaf, leaf.initial, "the first value")
        for output in signature.outputs:
            _check_numbers(output, output.padding, "the padding")
        _check_tree(signature)
    except (ValueError, OverflowError) as error:
        raise BundleError(f"{where}, {error}. Export the bundle again.") from error


def _check_axes(spec: TensorSpec, free: list[list[str]], known: set[str], where: str) -> None:
    names = [size for size in spec.shape if isinstance(size, str) and size not in known]
    found = sorted(OTHER if read_length(name) and name != TIME else name for name in names)
    units = prod(size for size in spec.shape if isinstance(size, int))
    if found not in free or units > UNITS:
        expected = f"an axis for each of {free[-1]} and at most {UNITS} units"
        raise BundleError(mismatch(f"{where}, {spec.name!r}", expected, spec, "Export the bundle again."))


def _check_numbers(spec: TensorSpec, numbers: Any, what: str) -> None:
    if not _numbers(numbers):
        raise ValueError(f"{spec.name!r}: expected numbers as {what}")
    row = [size for size in spec.shape if isinstance(size, int)]
    value = np.asarray(numbers, spec.dtype)  # a ValueError if its rows have several lengths
    if value.ndim and list(value.shape) != row:
        raise ValueError(f"{spec.name!r}: expected {what} of shape {row}, got {list(value.shape)}")


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
