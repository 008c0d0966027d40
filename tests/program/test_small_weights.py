"""Rounding to int8 and bf16, and how rounded numbers are told from others."""

import numpy as np
import pytest
import torch

from rnn_export.program.small_weights import (
    BF16,
    INT8,
    channels_of,
    from_bf16,
    is_bf16,
    rounded,
    to_bf16,
)
from rnn_export.signature.tensors import Array


@pytest.fixture
def weights() -> Array:
    """Give a matrix of channels of many sizes, a channel of zeros and one of a single number among zeros."""
    random = np.random.default_rng(0)
    matrix = (random.standard_normal((40, 12)) * 10.0 ** random.integers(-6, 3, 12)).astype(np.float32)
    matrix[:, 3] = 0
    matrix[1:, 4] = 0
    return matrix


def test_int8_is_off_by_half_a_step_of_its_channel_at_the_most(weights: Array) -> None:
    small = rounded(weights, [0], INT8)
    steps = np.abs(weights).max(0) / 127
    assert (np.abs(small - weights) <= 0.501 * steps).all()
    assert not small[:, 3].any()
    assert not np.signbit(small[small == 0]).any()


def test_rounding_twice_changes_nothing(weights: Array) -> None:
    for kind in (INT8, BF16):
        small = rounded(weights, [0], kind)
        np.testing.assert_array_equal(rounded(small, [0], kind), small)


def test_rounded_numbers_are_exact_products_with_their_scales(weights: Array) -> None:
    found = channels_of(rounded(weights, [0], INT8))
    assert found is not None
    products = found.numbers.astype(np.float64) * found.scales
    np.testing.assert_array_equal(products, rounded(weights, [0], INT8))
    assert np.abs(found.numbers).max() == 127


def test_they_are_found_after_what_moves_them(weights: Array) -> None:
    small = rounded(weights, [0], INT8)
    whole = channels_of(small)
    assert whole is not None
    for part in (small[5:21], -small, small * 0.5, small[::-1, 2:9], np.hstack([small, 0 * small])):
        assert channels_of(part) is not None
    cut = channels_of(small[5:])
    assert cut is not None
    np.testing.assert_array_equal(cut.scales[5:], whole.scales[5:])  # each piece has the scales of all
    assert channels_of(rounded(weights, [1], INT8).T) is not None


def test_what_is_not_rounded_is_not_found(weights: Array) -> None:
    small = rounded(weights, [0], INT8)
    for other in (weights, small.T, small * np.float32(0.3), small @ small.T, small + np.float32(1e-7)):
        assert channels_of(other) is None
    for number in (np.nan, np.inf):
        small[2, 5] = number
        assert channels_of(small) is None


def test_bf16_is_that_of_torch() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.standard_normal(1000), [0.0, -0.0, np.inf, -np.inf, 1e-40, 3.4e38]])
    values = values.astype(np.float32)
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(from_bf16(to_bf16(values)), expected)
    assert is_bf16(expected)
    assert not is_bf16(values)
    assert np.isnan(from_bf16(to_bf16(np.float32([np.nan])))).all()
