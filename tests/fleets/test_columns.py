"""Columns of every type that holds a tensor are read as it; what is none is refused, with its row."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rnn_export.errors import InputError
from rnn_export.fleets.columns import Values, check_type, column, column_type, read
from rnn_export.signature.tensors import InputSpec

STEPS = InputSpec("x", "float32", ("time", "batch", 2))
ONE = InputSpec("x", "float32", ("batch", "time", 1))
IDS = InputSpec("x", "int64", ("batch", "time"))
SPEAKER = InputSpec("x", "float32", ("batch", 2))
COUNT = InputSpec("x", "int64", ("batch",))
TRUE = InputSpec("x", "bool", ("batch",))
RAGGED = [[[1, 2], [3, 4]], [], [[5, 6]]]
PAIRS = pa.list_(pa.float32(), 2)
UP_TO_6, SIZES = [1, 2, 3, 4, 5, 6], [[2, 2], [0, 2], [1, 2]]


def tensors() -> pa.Array:
    storage = pa.array([[1, 2, 3, 4], [5, 6, 7, 8]], pa.list_(pa.float32(), 4))
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), (2, 2)), storage)


@pytest.mark.parametrize(
    ("values", "spec", "numbers", "sizes"),
    [
        (pa.array(RAGGED, column_type(STEPS)), STEPS, UP_TO_6, SIZES),
        (pa.array(RAGGED, pa.large_list(pa.list_(pa.float32(), 2))), STEPS, UP_TO_6, SIZES),
        (pa.array(RAGGED, pa.list_(pa.list_(pa.float16()))), STEPS, UP_TO_6, SIZES),
        (pa.array([None, *RAGGED], column_type(STEPS))[1:], STEPS, UP_TO_6, SIZES),
        (pa.chunked_array([pa.array(RAGGED, column_type(STEPS))] * 2), STEPS, UP_TO_6 * 2, SIZES * 2),
        (tensors(), STEPS, [1, 2, 3, 4, 5, 6, 7, 8], [[2, 2], [2, 2]]),
        (pa.array([[1, 2], [3]], pa.list_(pa.float32())), ONE, [1, 2, 3], [[2, 1], [1, 1]]),
        (pa.array([[[1], [2]], [[3]]], column_type(ONE)), ONE, [1, 2, 3], [[2, 1], [1, 1]]),
        (pa.array([[1, 2], [3]], pa.list_(pa.uint8())), IDS, [1, 2, 3], [[2], [1]]),
        (pa.array([[1, 2], [3, 4]], PAIRS), SPEAKER, [1, 2, 3, 4], [[2], [2]]),
        (pa.array([[0, 0], [1, 2], [3, 4]], PAIRS)[1:], SPEAKER, [1, 2, 3, 4], [[2], [2]]),
        (pa.array([3, 4], pa.int32()), COUNT, [3, 4], [[], []]),
        (pa.array([True, False]), TRUE, [True, False], [[], []]),
    ],
)
def test_a_column_is_read(values: Any, spec: InputSpec, numbers: list[Any], sizes: list[list[int]]) -> None:
    check_type(values.type, spec, "x", cast=False)
    found = read(values, spec, "x")
    assert found.numbers.dtype == spec.dtype
    assert found.numbers.tolist() == numbers
    assert found.sizes.tolist() == sizes
    if not isinstance(values, pa.ChunkedArray) and values.type == column_type(spec):
        assert column(found, spec).equals(values)


@pytest.mark.parametrize(
    ("kind", "spec", "cast", "words"),
    [
        (pa.list_(pa.float32()), STEPS, False, r"list<item: float>. Each row holds lists \[time, 2\]"),
        (pa.float32(), STEPS, False, "got float"),
        (pa.list_(pa.list_(pa.list_(pa.float32()))), STEPS, False, "Each row holds lists"),
        (pa.list_(pa.list_(pa.float64())), STEPS, False, "pass cast=True"),
        (pa.list_(pa.list_(pa.int32())), STEPS, False, "pass cast=True"),
        (pa.list_(pa.list_(pa.string())), STEPS, True, "got list<item: list<item: string>>"),
        (pa.list_(pa.float32()), IDS, False, "pass cast=True"),
        (pa.list_(pa.bool_()), IDS, True, "got list<item: bool>"),
        (pa.int64(), TRUE, True, "bool, got int64. Each row holds one bool"),
        (pa.string(), COUNT, True, "Each row holds one int64"),
    ],
)
def test_a_wrong_type_is_refused(kind: Any, spec: InputSpec, cast: bool, words: str) -> None:
    with pytest.raises(InputError, match=f"column 'x': expected .*?{words}"):
        check_type(kind, spec, "column 'x'", cast=cast)


@pytest.mark.parametrize(
    ("values", "spec", "words"),
    [
        ([*RAGGED, None], STEPS, "row 103: expected numbers alone, got a null"),
        ([*RAGGED, [[1, 2], None]], STEPS, "row 103: expected numbers alone, got a null"),
        ([*RAGGED, [[1, 2], [None, 3]]], STEPS, "row 103: expected numbers alone, got a null"),
        (
            [[[1, 2]], [[1, 2], [3]]],
            STEPS,
            "row 101: expected lists of one length, got one of 2 and one of 1",
        ),
        ([[[1, 2]], [[1, 2, 3]]], STEPS, "row 101: expected lists of 2, got 3"),
        ([[1, 2], [1]], SPEAKER, "row 101: expected lists of 2, got 1"),
        ([1, None], COUNT, "row 101: expected numbers alone, got a null"),
    ],
)
def test_a_wrong_row_is_named(values: list[Any], spec: InputSpec, words: str) -> None:
    with pytest.raises(InputError, match=f"column 'x', {words}"):
        read(pa.array(values, column_type(spec)), spec, "column 'x'", 100)


def test_numbers_are_rounded_only_if_asked_for() -> None:
    found = read(pa.array([0.1, 1e300]), InputSpec("x", "float32", ("batch",)), "x")
    assert found.numbers.tolist() == [np.float32(0.1), np.inf]
    with pytest.raises(InputError, match=r"column 'x': expected int64, got .*0.5"):
        read(pa.array([0.5]), COUNT, "column 'x'")


def test_too_many_numbers_for_a_column_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnn_export.fleets.columns.LARGEST", 3)
    with pytest.raises(InputError, match=r"at most 3 numbers .* got 4. Pass fewer rows at once."):
        column(Values(np.arange(4), np.array([[2], [2]])), IDS)
