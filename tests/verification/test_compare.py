"""What is said of a file's results: when it was wrong, and what its outputs say of the next token."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from rnn_export.bundle import golden
from rnn_export.bundle.bundle import Bundle
from rnn_export.runtimes import which_calls, worker
from rnn_export.signature.tensors import Array
from rnn_export.verification.compare import FAILED, PASSED, POINTS, Check, Measure, Standard, compare
from rnn_export.verification.verify import VerificationReport
from tests.support.cases import CASES, ModelCase, each_case
from tests.support.exports import Exported

Change = Callable[[golden.Case, str, Array], Array]


def judged(bundle: Bundle, change: Change = lambda case, mode, outputs: outputs) -> Check:
    """Judge what eager itself gives, the outputs changed."""
    results: dict[str, Array] = {worker.ERRORS: np.array(json.dumps({}))}
    for case in bundle.cases:
        for mode in which_calls.modes("model.onnx", case.kind):
            outputs, *state = case.results(bundle.signature.dtype)
            arrays = [change(case, mode, outputs.copy()), *state]
            results.update({f"{case.name}/{mode}/{number}": array for number, array in enumerate(arrays)})
    return compare("model.onnx", "eager", results, Standard(bundle.cases, bundle.signature))


def test_the_worst_of_a_check_is_the_worst_of_each_number() -> None:
    step, whole = Measure(1e-6, 2e-6, 0.2, 5), Measure(8e-8, 3e-6, 0.4, 7)
    assert Check("model.c", "c", PASSED, step=step, whole=whole).worst == Measure(1e-6, 3e-6, 0.4, 12)
    assert Check("model.c", "c", PASSED).worst is None


def case_named(name: str) -> ModelCase:
    return next(case for case in CASES if case.name == name)


@each_case
def test_eager_itself_is_right_at_every_time_step(case: ModelCase, exported: Exported) -> None:
    if not case.streamable:
        pytest.skip("eager's own results are not cut there")
    check = judged(exported(case))
    curve = VerificationReport.stored(exported(case).manifest).curve
    assert check.verdict == PASSED
    single = exported(case).signature.dtype == "float32"  # in float64 eager is the reference itself
    assert check.curve == (curve.eager if single else (0.0,) * len(curve.time))
    assert len(curve.time) == len(curve.eager) == len(curve.allowed) <= POINTS
    longest = max(vector.time for vector in exported(case).cases)
    assert (curve.time[0], curve.time[-1]) == (1, longest)
    assert all(own <= most for own, most in zip(curve.eager, curve.allowed, strict=True))
    assert any(curve.eager)


def test_the_curve_says_when_a_file_is_wrong(rnn: ModelCase, exported: Exported) -> None:
    def wrong_late(case: golden.Case, mode: str, outputs: Array) -> Array:
        outputs[7:, :, 0] += 1
        return outputs

    check = judged(exported(rnn), wrong_late)
    time = VerificationReport.stored(exported(rnn).manifest).curve.time
    assert check.verdict == FAILED
    assert [error > 0.9 for error in check.curve] == [step > 7 for step in time]


def test_the_curve_is_infinite_where_a_number_is_missing(rnn: ModelCase, exported: Exported) -> None:
    def without_one(case: golden.Case, mode: str, outputs: Array) -> Array:
        outputs[4:5, 0, 0] = np.nan
        return outputs

    check = judged(exported(rnn), without_one)
    assert check.curve.count(None) == 1


def test_a_model_of_numbers_says_nothing_of_tokens(rnn: ModelCase, exported: Exported) -> None:
    assert judged(exported(rnn)).tokens is None


@pytest.mark.parametrize("name", ["char_rnn", "char_deep"])
def test_every_file_of_a_token_model_names_the_same_tokens(name: str, exported: Exported) -> None:
    for check in VerificationReport.stored(exported(case_named(name)).manifest).checks:
        assert check.tokens is not None
        assert check.tokens.agreement == 1
        assert 0 < check.tokens.log_probability < 1e-4
        assert check.tokens.places > 100


def test_another_token_and_another_probability_are_counted(exported: Exported) -> None:
    def last_token_is_another(case: golden.Case, mode: str, outputs: Array) -> Array:
        if mode == "whole":
            outputs[-1, 0, (outputs[-1, 0].argmax() + 1) % outputs.shape[-1]] += 10
        return outputs

    bundle = exported(case_named("char_rnn"))
    check = judged(bundle, last_token_is_another)
    runs = [case for case in bundle.cases if case.kind == golden.RUN]
    places = 2 * sum(case.time * case.batch for case in runs)
    assert check.tokens.places == places
    assert check.tokens.agreement == pytest.approx(1 - len(runs) / places)
    assert check.tokens.log_probability > 1


def test_logits_that_are_all_shifted_say_the_same(exported: Exported) -> None:
    check = judged(exported(case_named("char_rnn")), lambda case, mode, outputs: outputs + 0.5)
    assert check.verdict == FAILED
    assert check.tokens.agreement == 1
    assert check.tokens.log_probability < 1e-4
