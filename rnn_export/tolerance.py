"""The one rule that says how far a file may be from eager PyTorch.

The reference is the module itself, run in float64. A file is not asked to repeat eager's float32 bits: a
matrix product summed in another order is as right as eager's. It is asked not to be *worse* than eager by
more than a small factor, judged unit by unit (each output and each element of the state on its own, the
worst over time and batch), so that a small unit is not hidden behind a large one:

    |file - float64|  <=  FACTOR * worst |float32 - float64|  +  FLOOR * eps * largest |float64|

The worst error of eager is taken over all single steps and all runs that are no longer than the one judged:
the error of a recurrent net grows with the length of the run, and one short run may be right by luck.

FACTOR = 4: sums of n terms in another order, and tanh or sigmoid of another library that is right to two
units in the last place instead of one, stay within 2 to 3 times eager's own error on every model of the
tests; a wrong weight, gate or time step is off by thousands of times. FLOOR = 4: a unit that eager happens
to hit exactly (a saturated tanh) may be off by the last bits of a float. For a float64 file eager's error is
that of float32 scaled by the ratio of the two epsilons: the same sums, rounded more finely.

Where eager, in the file's own dtype, gives NaN or an infinity, the file must give the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_export.golden import STEP, Case
from rnn_export.signature import Array, Signature, TensorSpec

FACTOR = 4
FLOOR = 4


@dataclass(frozen=True)
class Rounding:
    """How far eager's float32 is from float64, and how large the values are: an array over units each."""

    error: Array
    magnitude: Array


@dataclass(frozen=True)
class Deviation:
    """How far results are from float64: the worst error, its share of what is allowed, and where."""

    error: float
    share: float
    where: str


def bounds(cases: Sequence[Case], signature: Signature) -> dict[str, list[Array]]:
    """Say what each result of each case may be off by: for every case one array over units a result."""
    measured = {case.name: _roundings(case, signature) for case in cases}

    def pool(case: Case, number: int) -> Iterable[Rounding]:
        return (
            measured[other.name][number]
            for other in cases
            if other.kind == STEP or (case.kind != STEP and other.time <= case.time)
        )

    return {
        case.name: [_bound(list(pool(case, number)), spec) for number, spec in enumerate(signature.results)]
        for case in cases
    }


def eager_error(case: Case, signature: Signature) -> float:
    """Give eager's own worst error in the net's dtype, over all results of a case."""
    dtype = np.dtype(signature.dtype)
    return max(float(rounding.error.max(initial=0)) for rounding in _roundings(case, signature)) * _scale(
        dtype
    )


def deviation(
    case: Case, results: Sequence[Array], allowed: Sequence[Array], signature: Signature
) -> Deviation:
    """Compare a file's results for a case with the float64 results."""
    worst = Deviation(0.0, 0.0, "")
    own = case.results(signature.dtype)
    for number, spec in enumerate(signature.results):
        name = signature.output_names[number]
        got, want = results[number], case.float64[number]
        if got.shape != want.shape:
            where = f"{name}: expected shape {list(want.shape)}, got {list(got.shape)}"
            return Deviation(np.inf, np.inf, where)
        worst = max(worst, _compare(name, spec, got, want, own[number], allowed[number]), key=_share)
    return worst


def _share(found: Deviation) -> tuple[float, float]:
    return found.share, found.error


def _compare(name: str, spec: TensorSpec, got: Array, want: Array, own: Array, allowed: Array) -> Deviation:
    same = (np.isnan(got) & np.isnan(own)) | (got == own)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        distance = np.abs(got.astype(np.float64) - want)
        error = np.where(np.isfinite(own) & np.isfinite(got), distance, np.where(same, 0.0, np.inf))
        share = np.where(error == 0, 0.0, error / np.expand_dims(allowed, spec.free_axes))
    place = np.unravel_index(int(np.argmax(share)), share.shape)
    axes = [size if isinstance(size, str) else "unit" for size in spec.shape]
    position = ", ".join(f"{axis} {index}" for axis, index in zip(axes, place, strict=True))
    where = f"{name} at {position}: expected {want[place]:.9g}, got {got[place]:.9g}"
    return Deviation(float(error.max()), float(share[place]), where)


def _roundings(case: Case, signature: Signature) -> list[Rounding]:
    results = zip(case.float32, case.float64, signature.results, strict=True)
    return [_rounding(float32, float64, spec) for float32, float64, spec in results]


def _rounding(float32: Array, float64: Array, spec: TensorSpec) -> Rounding:
    finite = np.isfinite(float32) & np.isfinite(float64)
    with np.errstate(invalid="ignore"):
        error = np.where(finite, np.abs(float32.astype(np.float64) - float64), 0.0)
    magnitude = np.where(finite, np.abs(float64), 0.0)
    return Rounding(error.max(axis=spec.free_axes), magnitude.max(axis=spec.free_axes))


def _bound(pool: Sequence[Rounding], spec: TensorSpec) -> Array:
    dtype = np.dtype(spec.dtype)
    if dtype.kind != "f":
        return np.zeros_like(pool[0].error)
    error = np.max([rounding.error for rounding in pool], axis=0)
    magnitude = np.max([rounding.magnitude for rounding in pool], axis=0)
    bound: Array = FACTOR * error * _scale(dtype) + FLOOR * np.finfo(dtype).eps * magnitude
    return bound


def _scale(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).eps / np.finfo(np.float32).eps)
