"""What a file's results are worth: how far from eager PyTorch, how much of that is allowed, where and when.

What "equal" means stands in :mod:`rnn_export.verification.tolerance`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rnn_export.bundle.golden import NON_FINITE, ORDINARY, RUN, STEP, Case
from rnn_export.runtimes.table import UNBOUNDED
from rnn_export.runtimes.which_calls import modes
from rnn_export.runtimes.worker import ERRORS
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array
from rnn_export.verification import tolerance
from rnn_export.verification.tolerance import Deviation

PASSED = "passed"
FAILED = "failed"
NOT_CHECKED = "not checked"
MODES = ("step", "whole", "cut")
POINTS = 64  # of a curve
DIGITS = 3  # of its numbers


@dataclass(frozen=True)
class Measure:
    """Errors against float64 over some cases.

    Attributes:
        error: the worst of the file; infinite where a shape or a NaN differs or a call failed.
        eager: the worst of eager PyTorch in the file's dtype, on the same calls.
        share: the worst share that an error has of what is allowed; at most 1 is right.
        cases: the number of calls.
    """

    error: float
    eager: float
    share: float
    cases: int


@dataclass(frozen=True)
class Tokens:
    """What a file's outputs say of the next token, beside what eager's say, over all runs.

    Attributes:
        agreement: the share of places where the largest output is that of eager in the same dtype.
        log_probability: the largest difference of the logarithm of a token's probability, the softmax of
            the outputs, from float64.
        places: the number of places.
    """

    agreement: float
    log_probability: float
    places: int


@dataclass(frozen=True)
class Curve:
    """The errors of the outputs against time, the worst over all runs.

    Attributes:
        time: time steps, counted from 1; at most ``POINTS`` of them.
        eager: eager's own error at each.
        allowed: what a file may be off by at each, the largest over the units.
    """

    time: tuple[int, ...]
    eager: tuple[float | None, ...]
    allowed: tuple[float | None, ...]


@dataclass(frozen=True)
class Check:
    """What one runtime made of one file: single steps, whole runs, and runs cut in pieces.

    ``tokens`` is there for a model that takes token ids. ``curve`` is the file's worst error at the time
    steps of the report's :class:`Curve`. ``non_finite`` says where a row with a NaN or an infinity in
    its inputs gives something else than eager does; it is empty where that is nowhere.
    """

    file: str
    runtime: str
    verdict: str
    step: Measure | None = None
    whole: Measure | None = None
    cut: Measure | None = None
    tokens: Tokens | None = None
    curve: tuple[float | None, ...] = ()
    detail: str = ""
    non_finite: str = ""

    @property
    def measures(self) -> list[Measure]:
        """What was measured."""
        return [measure for measure in (self.step, self.whole, self.cut) if measure]

    @property
    def worst(self) -> Measure | None:
        """The worst of every measure, each number by itself; ``None`` if nothing was measured."""
        measures = self.measures
        if not measures:
            return None
        return Measure(
            error=max(measure.error for measure in measures),
            eager=max(measure.eager for measure in measures),
            share=max(measure.share for measure in measures),
            cases=sum(measure.cases for measure in measures),
        )


@dataclass(frozen=True)
class Standard:
    """What files are compared with: calls and eager's results."""

    cases: Sequence[Case]
    signature: Signature

    @cached_property
    def allowed(self) -> dict[str, list[Array]]:
        """What each result of each case may be off by."""
        return tolerance.bounds(self.cases, self.signature)

    @cached_property
    def runs(self) -> list[Case]:
        """The cases that are sequences, of inputs as large as the example's."""
        return [case for case in self.cases if case.kind == RUN and case.values == ORDINARY]

    @cached_property
    def curve(self) -> Curve:
        """Eager's own error and what is allowed, against time."""
        eager, allowed = [], []
        for case in self.runs:
            for place, spec in enumerate(self.signature.outputs):
                own, _ = tolerance.errors(case.float32[place], case.float64[place], spec)
                eager.append((case, place, own))
                allowed.append((case, place, np.broadcast_to(self.allowed[case.name][place], own.shape)))
        last = all(spec.time_axis is None for spec in self.signature.outputs)
        time = _thinned(case.time for case in self.runs) if last else _spread(self.longest)
        return Curve(time, self.against(time, eager), self.against(time, allowed))

    @property
    def longest(self) -> int:
        """The time steps of the longest run."""
        return max(case.time for case in self.runs)

    def against(
        self, time: Sequence[int], found: Sequence[tuple[Case, int, Array]]
    ) -> tuple[float | None, ...]:
        """Give the worst of some errors of outputs at each of some time steps; ``None`` is infinite."""
        worst = np.zeros(self.longest + 1)
        for case, place, errors in found:
            axis = self.signature.outputs[place].time_axis
            steps = slice(case.time, case.time + 1) if axis is None else slice(1, case.time + 1)
            each = errors[None] if axis is None else np.moveaxis(errors, axis, 0)
            worst[steps] = np.maximum(worst[steps], each.reshape(len(each), -1).max(1))
        numbers = (worst[step] for step in time)
        return tuple(float(f"{number:.{DIGITS}g}") if np.isfinite(number) else None for number in numbers)


def compare(
    file: str, runtime: str, results: Mapping[str, Array], standard: Standard, longest: int = UNBOUNDED
) -> Check:
    """Compare what the worker left, of runs of at most ``longest`` time steps, with eager's results."""
    found = {mode: list(_deviations(mode, results, standard)) for mode in MODES}
    measures = {mode: _measure(pairs, standard.signature) for mode, pairs in found.items() if pairs}
    name, worst = max(
        ((f"{case.name} {mode}", deviation) for mode, pairs in found.items() for case, deviation in pairs),
        key=lambda pair: pair[1].share,
        default=("", Deviation(0.0, 0.0, "")),
    )
    step, whole, cut = map(measures.get, MODES)
    tokens, curve = _tokens(results, standard), _curve(results, standard)
    spoilt = _non_finite(results, standard)
    check = Check(file, runtime, FAILED, step, whole, cut, tokens, curve, non_finite=spoilt)
    missing = _missing(standard, measures, longest, modes(file, RUN))
    if worst.share <= 1 and not missing:
        return replace(check, verdict=PASSED)
    detail = missing or f"{name}: {worst.where}"
    if not missing and "step" in measures and measures["step"].share <= 1:
        detail += " (each single step is right: the state is handed on wrongly, or rounding is amplified)"
    return replace(check, detail=detail)


def _outputs(results: Mapping[str, Array], standard: Standard) -> Iterator[tuple[Case, int, Array]]:
    """Give the outputs of all runs, whole and cut, that have the right shape, by number."""
    for case in standard.runs:
        for mode in ("whole", "cut"):
            for place in range(len(standard.signature.outputs)):
                outputs = results.get(f"{case.name}/{mode}/{place}")
                if outputs is not None and outputs.shape == case.float64[place].shape:
                    yield case, place, outputs


def _non_finite(results: Mapping[str, Array], standard: Standard) -> str:
    """Say where what comes of a NaN or an infinity in the inputs is not what eager makes of it."""
    for case in standard.cases:
        for mode in ("whole", "cut") if case.values == NON_FINITE else ():
            keys = [f"{case.name}/{mode}/{number}" for number in range(len(standard.signature.results))]
            arrays = [results[key] for key in keys if key in results]
            if [array.shape for array in arrays] == [want.shape for want in case.float64]:
                allowed = standard.allowed[case.name]
                if where := tolerance.non_finite(case, arrays, allowed, standard.signature):
                    return f"{case.name} {mode}: {where}"
    return ""


def _curve(results: Mapping[str, Array], standard: Standard) -> tuple[float | None, ...]:
    dtypes = [spec.dtype for spec in standard.signature.outputs]
    found = [
        (case, place, tolerance.distance(outputs, case.results(dtypes[place])[place], case.float64[place]))
        for case, place, outputs in _outputs(results, standard)
    ]
    return standard.against(standard.curve.time, found)


def _tokens(results: Mapping[str, Array], standard: Standard) -> Tokens | None:
    """Compare what the first outputs of a model of token ids say of the next token, where all are known."""
    signature, last = standard.signature, standard.signature.outputs[0].shape[-1]
    if np.dtype(signature.sequence.dtype).kind != "i" or not isinstance(last, int) or last < 2:
        return None
    same, furthest = [], [0.0]
    for case, place, outputs in _outputs(results, standard):
        if place or not case.is_whole(place):
            continue
        same.append(outputs.argmax(-1) == case.results(signature.dtype)[0].argmax(-1))
        furthest.append(float(np.abs(_log_softmax(outputs) - _log_softmax(case.float64[0])).max()))
    places = sum(map(np.size, same))
    if not places:
        return None
    agreement = sum(map(np.sum, same)) / max(places, 1)
    return Tokens(float(agreement), max(furthest), places)


def _log_softmax(logits: Array) -> Array:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def _spread(longest: int) -> tuple[int, ...]:
    """Give time steps from the first to the last, denser at the beginning."""
    return tuple(map(int, np.unique(np.geomspace(1, longest, POINTS).round())))


def _thinned(times: Iterator[int]) -> tuple[int, ...]:
    return tuple(sorted(set(times)))


def _deviations(
    mode: str, results: Mapping[str, Array], standard: Standard
) -> Iterator[tuple[Case, Deviation]]:
    """Compare what the worker left for one way of running the cases."""
    signature = standard.signature
    errors: dict[str, str] = json.loads(str(results[ERRORS]))
    for case in standard.cases:
        key = f"{case.name}/{mode}"
        if key in errors:
            yield case, Deviation(np.inf, np.inf, errors[key])
        elif f"{key}/0" in results:
            arrays = [results[f"{key}/{number}"] for number in range(len(signature.results))]
            yield case, tolerance.deviation(case, arrays, standard.allowed[case.name], signature)


def _measure(pairs: Sequence[tuple[Case, Deviation]], signature: Signature) -> Measure:
    return Measure(
        error=max(deviation.error for _, deviation in pairs),
        eager=max(tolerance.eager_error(case, signature) for case, _ in pairs),
        share=max(deviation.share for _, deviation in pairs),
        cases=len(pairs),
    )


def _missing(standard: Standard, measures: dict[str, Measure], longest: int, ways: Sequence[str]) -> str:
    """Say if a question was not asked of every case: silence is not a pass."""
    asked = [case for case in standard.cases if case.time <= longest]
    runs, steps = (sum(case.kind == kind for case in asked) for kind in (RUN, STEP))
    ways = [way for way in ways if way != "cut" or standard.signature.streamable]
    expected = {"step": steps, **{way: runs * (way in ways) for way in ("whole", "cut")}}
    got = {mode: measures[mode].cases if mode in measures else 0 for mode in expected}
    return "" if got == expected and runs else f"expected results of {expected} cases, got {got}"
