"""The one rule that says how far a file may be from eager PyTorch.

The reference is the module itself, run in float64. A file is not asked to repeat eager's float32 bits: a
matrix product summed in another order is as right as eager's. It is asked not to be *worse* than eager by
more than a small factor, judged unit by unit (each output and each element of the state on its own, the
worst over time and batch), so that a small unit is not hidden behind a large one:

    |file - float64|  <=  FACTOR * worst |float32 - float64|  +  FLOOR * eps * largest |float64|

The worst error of eager is taken over all single steps and all runs that are no longer than the one judged:
the error of a recurrent net grows with the length of the run, and one short run may be right by luck. Those
of inputs many times as large as the example's count for such inputs alone. A large net is tried on few time
steps, in all of which one of its thousands of units may be right by luck: where there are fewer than one for
each ``UNITS_A_STEP`` units, the largest error of any unit counts for all.

FACTOR = 4: sums of n terms in another order, and tanh or sigmoid of another library that is right to two
units in the last place instead of one, stay within 2 to 3 times eager's own error on every model of the
tests; a wrong weight, gate or time step is off by thousands of times. FLOOR = 4: a unit that eager happens
to hit exactly (a saturated tanh) may be off by the last bits of a float. A model of whole sequences may add
up numbers of all T time steps, which right implementations do in other orders: FLOOR is at least the square
root of T there (Higham and Mary, see :mod:`rnn_export.verification.grid`). For a float64 file eager's error
is that of float32 scaled by the ratio of the two epsilons: the same sums, rounded more finely.

Three bounds keep eager from being the measure where it is a bad one:

- *A single step.* Eager's own error counts as far as rounding explains it, no further: at most what a model
  of rounding grants (:mod:`rnn_export.verification.rounding`: eps times the magnitudes summed, times the
  square root of the terms n of the longest sum). Where eager is coarser than rounding makes it, a file may
  not be.
- *A run that is long, of large inputs, or of a net for whole sequences.* Eager's error on few rows says too
  little; what weights and inputs that are off by eps make of the run counts as well.
- *A run of a net that amplifies rounding.* Eager's error is one throw of the dice there: two right files can
  be a hundred times apart, for one unit or one row. What counts is the larger of eager's error and of the
  distance that random rounding takes the same run, at each time step, up to that step. From the horizon on
  (:mod:`rnn_export.verification.dynamics`) the bound is as large as the values; until then, and in single
  steps, a wrong weight stands out as ever.

Where eager, in the file's own dtype, gives NaN or an infinity, the file must give the same.

Whole numbers and truth values have to be those of float64. Only where rounding may turn one into another, as
it does with the largest of two logits that are nearly alike, any is right that the net gives anywhere in the
golden vectors (:func:`rnn_export.verification.rounding.undecided`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import sqrt

import numpy as np

from rnn_export.bundle.golden import LARGE, NON_FINITE, ORDINARY, STEP, Case
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, TensorSpec

FACTOR = 4
FLOOR = 4
LEAST_KNOWN = 64  # time steps of rows, of which all units of a result are known, for a bound of each
UNITS_A_STEP = 4  # the more units, the likelier that one is right by luck
SATURATED = 1e-3  # relative: what a unit that an infinity saturates may be off by; no bound is made of such


@dataclass(frozen=True)
class Margin:
    """How far rounding takes results, and how large they are: arrays that broadcast against the results."""

    error: Array
    magnitude: Array


@dataclass(frozen=True)
class Deviation:
    """How far results are from float64: the worst error, the worst share of what is allowed, where that is.

    A large error of a large unit may be a small share: both are maximised, each by itself.
    """

    error: float
    share: float
    where: str


def bounds(cases: Sequence[Case], signature: Signature) -> dict[str, list[Array]]:
    """Say what each result of each case may be off by: for every case one array a result.

    The arrays broadcast against the results. They hold a number for each unit, or one for all where golden
    vectors hold too few of them; for the run of a net that
    amplifies rounding, for each time step as well.
    """
    own = {case.name: _margins(case, signature) for case in cases}
    ordinary = [case for case in cases if case.kind != STEP and case.values == ORDINARY]
    amplified = signature.streamable and all(case.rounding for case in ordinary)

    def pool(case: Case) -> list[list[Margin]]:
        like = [other for other in cases if other.values in (ORDINARY, case.values)]
        steps = [other for other in like if other.kind == STEP]
        modelled = [_modelled(other, own[other.name], signature) for other in steps]
        if case.kind == STEP:
            return _known(modelled, steps)
        if amplified and case.rounding:
            return [*modelled, _amplified(case, signature)]
        runs = [run for run in like if run.kind != STEP and run.time <= case.time]
        found = [*modelled, *(own[run.name] for run in runs)]
        return [*found, _amplified(case, signature)] if case.rounding else _known(found, [*steps, *runs])

    alike = [_knows_units(number, cases) for number in range(len(signature.results))]
    return {
        case.name: [
            _bound([margins[number] for margins in pool(case)], spec, _floor(case, signature), alike[number])
            if np.dtype(spec.dtype).kind == "f"
            else _of_undecided(case, number, cases, signature)
            for number, spec in enumerate(signature.results)
        ]
        for case in cases
    }


def eager_error(case: Case, signature: Signature) -> float:
    """Give eager's own worst error in the net's dtype, over all results of a case."""
    return max(float(margin.error.max(initial=0)) for margin in _margins(case, signature))


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
        error = np.where(_spoilt(case, spec, signature), 0.0, distance(got, own[number], want))
        found = _compare(name, spec, error, got, want, allowed[number])
        largest = max(worst.error, found.error)
        worst = replace(max(worst, found, key=_share), error=largest)
    return worst


def _share(found: Deviation) -> tuple[float, float]:
    return found.share, found.error


def distance(got: Array, own: Array, want: Array) -> Array:
    """Give how far results are from float64: infinitely where eager is finite and they are not, or not alike.

    Args:
        got: the results.
        own: eager's in the same dtype.
        want: eager's in float64.
    """
    same = (np.isnan(got) & np.isnan(own)) | (got == own)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got.astype(np.float64) - want)
    return np.where(
        np.isfinite(own) & np.isfinite(got) & np.isfinite(want), apart, np.where(same, 0.0, np.inf)
    )


def non_finite(case: Case, results: Sequence[Array], allowed: Sequence[Array], signature: Signature) -> str:
    """Say where a row with a NaN or an infinity in its inputs gives something else; nowhere is ``""``."""
    for number, (name, spec) in enumerate(zip(signature.output_names, signature.results, strict=True)):
        got, own = results[number], case.results(signature.dtype)[number]
        error = distance(got, own, case.float64[number])
        near = np.maximum(allowed[number], SATURATED * np.nan_to_num(np.abs(case.float64[number])))
        wrong = _spoilt(case, spec, signature) & (error > near)
        if wrong.any():
            return _place(name, spec, wrong, got, own)
    return ""


def _spoilt(case: Case, spec: TensorSpec, signature: Signature) -> Array:
    """Say which rows hold a NaN or an infinity by intent, as an array that broadcasts against a result."""
    rows: Array = np.zeros(case.batch, bool)
    if case.values == NON_FINITE:
        rows = np.logical_not(signature.finite_rows(case.inputs))
    shape = [1] * len(spec.shape)
    shape[spec.batch_axis] = case.batch
    return rows.reshape(shape)


def _compare(name: str, spec: TensorSpec, error: Array, got: Array, want: Array, allowed: Array) -> Deviation:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = np.where(error == 0, 0.0, error / allowed)
    return Deviation(float(error.max()), float(share.max()), _place(name, spec, share, got, want))


def _place(name: str, spec: TensorSpec, worst: Array, got: Array, want: Array) -> str:
    """Say where an array is largest, and what was expected there."""
    place = np.unravel_index(int(np.argmax(worst)), worst.shape)
    axes = [size if isinstance(size, str) else "unit" for size in spec.shape]
    position = ", ".join(f"{axis} {index}" for axis, index in zip(axes, place, strict=True))
    return f"{name} at {position}: expected {want[place]:.9g}, got {got[place]:.9g}"


def _margins(case: Case, signature: Signature) -> list[Margin]:
    """Give eager's own errors in the net's dtype, unit by unit."""
    results = zip(case.float32, case.float64, signature.results, strict=True)
    return [_margin(*errors(single, double, spec), spec.free_axes) for single, double, spec in results]


def _modelled(case: Case, own: Sequence[Margin], signature: Signature) -> list[Margin]:
    """Let eager's error in a single step count as far as rounding explains it.

    Of large inputs most units are saturated, and eager is hit by rounding in few: there all of that counts.
    """
    if not case.rounding:
        return list(own)
    granted = zip(own, case.rounding, signature.results, strict=True)
    counts = np.maximum if case.values == LARGE else np.minimum
    return [
        replace(margin, error=counts(margin.error, most.max(axis=spec.free_axes, keepdims=True)))
        for margin, most, spec in granted
    ]


def _amplified(case: Case, signature: Signature) -> list[Margin]:
    """Give the larger of eager's error and of what rounding makes of a run, up to each time step.

    Errors that grow do so in all units: one that was hit by chance has the share that all have together.
    """
    results = zip(case.float32, case.float64, case.rounding, signature.results, strict=True)
    return [_grown(single, double, most, spec) for single, double, most, spec in results]


def _grown(single: Array, double: Array, rounding: Array, spec: TensorSpec) -> Margin:
    error, magnitude = errors(single, double, spec)
    units = tuple(axis for axis in range(error.ndim) if axis not in spec.free_axes)
    worst = _margin(np.fmax(error, rounding), magnitude, (spec.batch_axis,))
    largest = magnitude.max(axis=spec.free_axes, keepdims=True)
    share = _length(worst.error, units) / np.maximum(_length(largest, units), np.finfo(np.float64).tiny)
    most = np.maximum(worst.error, share * largest)
    axis = spec.time_axis
    return replace(worst, error=most if axis is None else np.maximum.accumulate(most, axis))


def _length(values: Array, axes: tuple[int, ...]) -> Array:
    length: Array = np.sqrt(np.square(values).sum(axis=axes, keepdims=True))
    return length


def errors(single: Array, double: Array, spec: TensorSpec) -> tuple[Array, Array]:
    """Give eager's error and the size of each number that is finite, in the dtype of ``spec``.

    For a float64 net it is that of float32 scaled: the same sums, rounded more finely.
    """
    finite = np.isfinite(single) & np.isfinite(double)
    with np.errstate(invalid="ignore"):
        error = np.where(finite, np.abs(single.astype(np.float64) - double), 0.0)
    dtype = np.dtype(spec.dtype)
    scale = float(np.finfo(dtype).eps / np.finfo(np.float32).eps) if dtype.kind == "f" else 1.0
    return error * scale, np.where(finite, np.abs(double), 0.0)


def _margin(error: Array, magnitude: Array, axes: tuple[int, ...]) -> Margin:
    return Margin(error.max(axis=axes, keepdims=True), magnitude.max(axis=axes, keepdims=True))


def _known(pool: Sequence[list[Margin]], cases: Sequence[Case]) -> list[list[Margin]]:
    """Let eager's errors in few time steps count for all units of a result."""
    seen = sum(case.time * case.batch for case in cases)
    return [*pool, [_for_all(margins, seen) for margins in zip(*pool, strict=True)]]


def _for_all(margins: Sequence[Margin], seen: int) -> Margin:
    """Give each unit of a result the largest error of any, if too few time steps were seen for so many."""
    error, magnitude = _largest(margins)
    enough = seen >= error.size / UNITS_A_STEP
    return Margin(error if enough else np.full_like(error, error.max()), magnitude)


def _largest(margins: Sequence[Margin]) -> tuple[Array, Array]:
    """Give the largest error of each unit, and its largest size."""
    error = reduce(np.maximum, (margin.error for margin in margins))
    return error, reduce(np.maximum, (margin.magnitude for margin in margins))


def _floor(case: Case, signature: Signature) -> float:
    """Say how many eps of its size a number may always be off by."""
    return FLOOR if signature.streamable else max(FLOOR, sqrt(case.time))


def _knows_units(number: int, cases: Sequence[Case]) -> bool:
    """Whether eager's error is known of each unit of a result: golden vectors may hold few of its numbers."""
    whole = [case for case in cases if case.is_whole(number)]
    return len(whole) == len(cases) or sum(case.time * case.batch for case in whole) >= LEAST_KNOWN


def _bound(pool: Sequence[Margin], spec: TensorSpec, floor: float, by_unit: bool) -> Array:
    dtype = np.dtype(spec.dtype)
    error, magnitude = _largest(pool)
    bound: Array = FACTOR * error + floor * np.finfo(dtype).eps * magnitude
    units = tuple(axis for axis in range(bound.ndim) if axis not in spec.free_axes)
    return bound if by_unit else bound.max(axis=units, keepdims=True)


def _of_undecided(case: Case, number: int, cases: Sequence[Case], signature: Signature) -> Array:
    """Allow what is undecided of a result that is not of floats to be as far off as its values are apart."""
    if not case.undecided:
        return np.zeros([1] * len(signature.results[number].shape))
    place = sum(np.dtype(spec.dtype).kind != "f" for spec in signature.results[:number])
    values = [extreme(each.float64[number]) for each in cases for extreme in (np.min, np.max)]
    bound: Array = case.undecided[place] * (float(max(values)) - float(min(values)))
    return bound
