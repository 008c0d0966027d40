"""Weights in fewer bits than float32: how they are rounded, and how rounded ones are told from others.

    int8    w = q s     q a whole number from -127 to 127, s one number for each channel: no zero point
    bf16    w           the nearest number of 8 significant bits, ties to even

A scale ``s`` has 17 significant bits, so that ``q s`` is exact in float32: whatever a pass moves, transposes,
cuts or puts side by side is found to be rounded from its numbers alone, and rounding twice changes nothing.

Source: R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference" (2018), 3.1.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnn_export.signature.tensors import Array

FLOAT32, BF16, INT8 = FORMATS = ("float32", "bf16", "int8")
MOST = 127
TRIED = 64  # entries of a channel, by which most scales that are wrong are told
FIRST = 8  # channels, by which most matrices are told that are not rounded


def rounded(values: Array, axes: Sequence[int], kind: str) -> Array:
    """Round float32 numbers; along ``axes`` they are one channel.

    >>> rounded(np.float32([[1.27, 0.3], [0.2, 12.7]]), [1], INT8)
    array([[ 1.2699988 ,  0.2999997 ],
           [ 0.20000076, 12.700048  ]], dtype=float32)
    """
    if kind == BF16:
        return from_bf16(to_bf16(values))
    largest = np.abs(values).max(axis=tuple(axes), keepdims=True, initial=0)
    scale = _exact(np.where(largest > 0, largest, 1) / np.float32(MOST))
    numbers = np.clip(np.rint(values / scale), -MOST, MOST) * scale + np.float32(0)  # no -0
    return np.asarray(numbers, np.float32)


def _exact(scale: Array) -> Array:
    """Round positive numbers to 17 significant bits."""
    bits = np.asarray(scale, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x40)) & np.uint32(0xFFFFFF80)).view(np.float32)


def to_bf16(values: Array) -> Array:
    """Round float32 numbers to the upper halves of their bits, uint16; NaN stays NaN.

    >>> to_bf16(np.float32([1, -2])).tolist()
    [16256, 49152]
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    nan = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(values), nan, nearest).astype(np.uint16)


def from_bf16(halves: Array) -> Array:
    """Give the numbers again."""
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


def is_bf16(values: Array) -> bool:
    """Whether all numbers are those of bfloat16."""
    return not np.any(np.ascontiguousarray(values, np.float32).view(np.uint32) & np.uint32(0xFFFF))


@dataclass(frozen=True)
class Channels:
    """A matrix ``[K, N]`` as int8 ``numbers [K, N]`` times ``scales [N]``."""

    numbers: Array
    scales: Array


def channels_of(matrix: Array) -> Channels | None:
    """Write a matrix ``[K, N]``, each column a channel, as int8 with scales; ``None`` if it is not rounded.

    >>> channels_of(np.float32([[0.5, 3], [0.75, -1]]))
    Channels(numbers=array([[ 2,  3],
           [ 3, -1]], dtype=int8), scales=array([0.25, 1.  ], dtype=float32))
    """
    matrix = np.asarray(matrix, np.float32)
    if not np.isfinite(matrix).all() or _scales(matrix[:, :FIRST]) is None:
        return None
    scales = _scales(matrix)
    if scales is None:
        return None
    return Channels(np.rint(matrix / scales).astype(np.int8), scales)


def _scales(matrix: Array) -> Array | None:
    """Find for each column the scale of 17 bits of which all its numbers are multiples, the largest one."""
    largest = np.abs(matrix).max(axis=0, initial=0)
    scales, left = np.ones_like(largest), np.flatnonzero(largest)
    for most in range(1, MOST + 1):
        if not left.size:
            break
        tried = largest[left] / np.float32(most)
        fits = (_exact(tried) == tried) & _are_multiples(matrix[:TRIED, left], tried)
        fits[fits] = _are_multiples(matrix[:, left[fits]], tried[fits])
        scales[left[fits]], left = tried[fits], left[~fits]
    return None if left.size else scales


def _are_multiples(matrix: Array, scales: Array) -> Array:
    """Say of which columns all numbers are whole multiples of their scale, in float32."""
    with np.errstate(all="ignore"):  # a scale may underflow
        equal: Array = (np.rint(matrix / scales) * scales == matrix).all(axis=0)
    return equal
