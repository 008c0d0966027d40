"""Columns of Arrow as arrays, and arrays as columns.

A column holds a value for each row: a number, a list, or lists in lists, as deep as the tensor has axes
beside the batch.

    double                  [batch]
    list<float>             [time, batch]; also [time, batch, 1]: no list has to stand for an axis of size 1
    list<list<float>>       [time, batch, features]; lists of a fixed size as well
    a tensor                the same, by its shape: an extension type of Arrow, or of Ray

Nothing is done row by row: the numbers of a column lie one after another, and where its lists begin is an
array, too.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from rnn_export.errors import InputError, mismatch
from rnn_export.signature.sizes import BATCH
from rnn_export.signature.tensors import Array, TensorSpec

LARGEST = (1 << 31) - 1  # numbers of a list column: it has 32 bits for where a list begins
# The types whose numbers a dtype holds without rounding.
EXACT = {
    "float32": {pa.float16(), pa.float32()},
    "float64": {pa.float16(), pa.float32(), pa.float64()},
    "int64": {pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()},
    "bool": {pa.bool_()},
}


@dataclass(frozen=True)
class Values:
    """The values of a column.

    Attributes:
        numbers: of all rows, one row after another.
        sizes: of each row, ``[rows, axes]``: the axes of the tensor without the batch.
    """

    numbers: Array
    sizes: Array

    @cached_property
    def ends(self) -> Array:
        """Where the numbers of each row end, behind a 0."""
        return _ends(self.sizes.prod(axis=1))

    def within(self, start: int, stop: int) -> Array:
        """Give the numbers of some rows."""
        return self.numbers[self.ends[start] : self.ends[stop]]


@dataclass(frozen=True)
class _Place:
    """Where a column is: its name, and the number of its first row."""

    where: str
    first: int

    def of(self, row: int) -> str:
        return f"{self.where}, row {self.first + row}"


def row_shape(spec: TensorSpec) -> tuple[int | str, ...]:
    """Give the shape of a tensor for one row."""
    return tuple(size for size in spec.shape if size != BATCH)


def column_type(spec: TensorSpec) -> Any:
    """Give the type of a column that holds a tensor.

    >>> column_type(TensorSpec("x", "float32", ("time", "batch", 3)))
    ListType(list<item: list<item: float>>)
    """
    kind = pa.from_numpy_dtype(np.dtype(spec.dtype))
    for _ in row_shape(spec):
        kind = pa.list_(kind)
    return kind


def check_type(kind: Any, spec: TensorSpec, where: str, *, cast: bool) -> None:
    """Check that a column of a type can hold a tensor.

    Args:
        kind: a type of Arrow.
        spec: of the tensor.
        where: names the column in errors.
        cast: whether numbers of another type may be rounded.

    Raises:
        InputError: its lists are deeper, or not as deep, or what stands in them has another type.
    """
    depth, leaf = _nesting(kind)
    exact = leaf in EXACT[spec.dtype]
    rounded = spec.dtype != "bool" and (pa.types.is_integer(leaf) or pa.types.is_floating(leaf))
    if _without_lists(depth, spec) is None or not (exact or rounded):
        raise InputError(mismatch(where, column_type(spec), kind, _remedy(spec)))
    if not (exact or cast):
        remedy = "Convert the column, or pass cast=True (--cast), which rounds its numbers."
        raise InputError(mismatch(where, column_type(spec), kind, remedy))


def _nesting(kind: Any) -> tuple[int, Any]:
    """Give how deep the lists of a type are, and what stands in them."""
    depth = 0
    while _has_lists(kind):
        depth, kind = depth + 1, kind.value_type
    if depth or not isinstance(kind, pa.BaseExtensionType):
        return depth, kind
    storage = kind.storage_type
    if _is_ragged(storage):
        return kind.ndim, storage.field("data").type.value_type
    if _has_lists(storage) and getattr(kind, "permutation", None) is None:
        return len(kind.shape), storage.value_type
    return 0, kind


def _has_lists(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_ragged(storage: Any) -> bool:
    """Whether a type is that of Ray's tensors of several shapes."""
    return pa.types.is_struct(storage) and {each.name for each in storage} == {"data", "shape"}


def _without_lists(depth: int, spec: TensorSpec) -> list[int] | None:
    """Give the axes of a row for which no list stands: none, or all of size 1; ``None`` if nothing fits."""
    shape = row_shape(spec)
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    return {len(shape) - len(ones): ones, len(shape): []}.get(depth)


def _remedy(spec: TensorSpec) -> str:
    sizes = ", ".join(map(str, row_shape(spec)))
    return f"Each row holds {f'lists [{sizes}]' if sizes else f'one {spec.dtype}'}."


def read(column: Any, spec: TensorSpec, where: str, first: int = 0) -> Values:
    """Read a column of a type that :func:`check_type` has passed.

    Args:
        column: an array of Arrow, in one chunk or several.
        spec: of the tensor.
        where: names the column in errors.
        first: the number of its first row in errors.

    Raises:
        InputError: a value is null; the lists of a row differ in length, or are longer or shorter than the
            model takes; or a number cannot be one of the tensor's dtype.
    """
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    place = _Place(where, first)
    is_tensor = isinstance(array.type, pa.BaseExtensionType)
    numbers, sizes = _of_tensors(array, place) if is_tensor else _of_lists(array, place)
    for axis in _without_lists(sizes.shape[1], spec) or ():
        sizes = np.insert(sizes, axis, 1, axis=1)
    for axis, want in enumerate(row_shape(spec)):
        if isinstance(want, int):
            _check_width(sizes, axis, want, place, spec)
    return Values(_as_dtype(numbers, spec, where), sizes)


def _of_lists(array: Any, place: _Place) -> tuple[Any, Array]:
    """Give the numbers in lists, and how long the lists of each row are, ``[rows, levels]``."""
    begins = np.arange(len(array) + 1)  # of each row, among what is left to unpack
    sizes = np.empty((len(array), 0), np.int64)
    _check_nulls(array, begins, place)
    while _has_lists(array.type):
        fixed = pa.types.is_fixed_size_list(array.type)
        lengths = np.full(len(array), array.type.list_size) if fixed else np.diff(array.offsets.to_numpy())
        sizes = np.column_stack([sizes, _same_in_a_row(lengths, begins, place)])
        begins = _ends(lengths)[begins]
        array = array.flatten()
        _check_nulls(array, begins, place)
    return array, sizes


def _of_tensors(array: Any, place: _Place) -> tuple[Any, Array]:
    """Give the numbers in tensors of an extension type, and their shapes."""
    storage, every_row = array.storage, np.arange(len(array) + 1)
    _check_nulls(array, every_row, place)
    if _is_ragged(storage.type):
        data, shapes = storage.flatten() if storage.type[0].name == "data" else storage.flatten()[::-1]
        sizes = shapes.flatten().to_numpy().reshape(len(array), array.type.ndim)
    else:
        data, sizes = storage, np.tile(np.array(array.type.shape, np.int64), (len(array), 1))
    numbers = data.flatten()
    _check_nulls(numbers, _ends(sizes.prod(axis=1)), place)
    return numbers, sizes


def _check_nulls(array: Any, begins: Array, place: _Place) -> None:
    if array.null_count:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        row = int(np.searchsorted(begins, int(np.argmax(nulls)), "right")) - 1
        remedy = "Fill it, or leave the row out."
        raise InputError(mismatch(place.of(row), "numbers alone", "a null", remedy))


def _ends(lengths: Array) -> Array:
    """Give where parts of some lengths end, one after another, behind a 0."""
    return np.concatenate([[0], np.cumsum(lengths)])


def _same_in_a_row(lengths: Array, begins: Array, place: _Place) -> Array:
    """Give how long the lists of each row are, which have to be as long as one another; 0 without lists."""
    counts = np.diff(begins)
    own = np.zeros(len(counts), np.int64)
    own[counts > 0] = lengths[begins[:-1][counts > 0]]
    different = lengths != np.repeat(own, counts)
    if different.any():
        found = int(np.argmax(different))
        row = int(np.searchsorted(begins, found, "right")) - 1
        got = f"one of {own[row]} and one of {lengths[found]}"
        remedy = "All inner lists of a row have the same length."
        raise InputError(mismatch(place.of(row), "lists of one length", got, remedy))
    return own


def _check_width(sizes: Array, axis: int, want: int, place: _Place, spec: TensorSpec) -> None:
    """Check an axis that the model fixes; lists in an empty list have any length."""
    empty = (sizes[:, :axis] == 0).any(axis=1)
    wrong = (sizes[:, axis] != want) & ~empty
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(mismatch(place.of(row), f"lists of {want}", sizes[row, axis], _remedy(spec)))
    sizes[empty, axis] = want


def _as_dtype(numbers: Any, spec: TensorSpec, where: str) -> Array:
    """Give numbers in a dtype: those of a float are rounded, a whole number has to be one."""
    try:
        found = numbers.cast(pa.from_numpy_dtype(np.dtype(spec.dtype)))
    except pa.ArrowInvalid as error:
        raise InputError(mismatch(where, spec.dtype, str(error), "Convert the column.")) from error
    array: Array = found.to_numpy(zero_copy_only=False)
    return array


def column(values: Values, spec: TensorSpec) -> Any:
    """Make a column of values: numbers, or lists as deep as the tensor has axes beside the batch.

    Raises:
        InputError: there are more numbers than a column may hold.
    """
    if len(values.numbers) > LARGEST:
        expected, got = f"at most {LARGEST} numbers in the results of a batch", len(values.numbers)
        raise InputError(mismatch(f"column {spec.name!r}", expected, got, "Pass fewer rows at once."))
    array = pa.array(values.numbers)
    for axis in reversed(range(values.sizes.shape[1])):
        lists = values.sizes[:, :axis].prod(axis=1)
        ends = np.cumsum(np.repeat(values.sizes[:, axis], lists), dtype=np.int32)
        array = pa.ListArray.from_arrays(np.concatenate([np.zeros(1, np.int32), ends]), array)
    return array
