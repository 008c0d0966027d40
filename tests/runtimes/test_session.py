"""A session runs time step by time step what a runner runs at once, and checks what it is given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnn_export
from rnn_export.bundle.layout import MODEL_C
from rnn_export.errors import InputError
from rnn_export.runtimes.table import Runner
from tests.support.c_programs import needs_compiler
from tests.support.cases import CASES, ModelCase
from tests.support.exports import Exported

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
STEPS, BATCH = 6, 3
each_runtime = pytest.mark.parametrize("runtime", [pytest.param("c", marks=needs_compiler), "onnxruntime"])


def load(runtime: str, name: str = "rnn_scratch") -> Runner:
    return rnn_export.load(ARTIFACTS / name, runtime)


def cut(runner: Runner, vector: Any, step: int) -> Any:
    """Give one time step of a golden vector: an array, or a dict of several."""
    found = {
        spec.name: array.take(step, spec.time_axis)
        for spec, array in zip(runner.signature.inputs, vector.inputs, strict=True)
        if spec.time_axis is not None
    }
    return found if len(found) > 1 else next(iter(found.values()))


@pytest.mark.parametrize("case", [case for case in CASES if case.streamable], ids=lambda case: case.name)
@pytest.mark.parametrize("runtime", ["c", "onnxruntime"])
def test_step_by_step_is_as_at_once(case: ModelCase, runtime: str, exported: Exported) -> None:
    bundle = exported(case)
    signature = bundle.signature
    if runtime == "c" and signature.dtype != "float32":
        assert MODEL_C not in bundle.manifest.files
        return
    runner = rnn_export.load(bundle.folder, runtime)
    vector = next(each for each in bundle.cases if each.kind == "run" and each.time > 1 and each.batch > 1)
    named = dict(zip((spec.name for spec in signature.inputs), vector.inputs, strict=True))
    given = named if len(named) > 1 else next(iter(named.values()))
    want, state = runner(given, vector.state)
    contexts = {spec.name: named[spec.name] for spec in signature.inputs if spec.time_axis is None}
    session = runner.session(vector.batch, contexts)
    session.reset(vector.state)
    wanted = want if isinstance(want, dict) else {signature.output_names[0]: want}
    for step in range(vector.time):
        got = session.step(cut(runner, vector, step))
        for spec, one in zip(
            signature.outputs, got.values() if isinstance(got, dict) else [got], strict=True
        ):
            if spec.time_axis is not None and not spec.flattened:
                whole = wanted[spec.name].take(step, spec.time_axis)
                np.testing.assert_allclose(one, whole, atol=1e-5, rtol=1e-4)
    for one, other in zip(session.state, state, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-4)


@needs_compiler
def test_c_gives_the_same_bits() -> None:
    runner = load("c")
    inputs = np.random.default_rng(0).normal(size=(STEPS, BATCH, 16)).astype(np.float32)
    session, (want, state) = runner.session(BATCH), runner(inputs)
    got = [session.step(x_t).copy() for x_t in inputs]
    np.testing.assert_array_equal(np.stack(got), want)
    np.testing.assert_array_equal(session.state[0], state[0])


@each_runtime
def test_it_begins_anew(runtime: str) -> None:
    session = load(runtime).session(BATCH)
    x_t = np.ones((BATCH, 16), np.float32)
    first = session.step(x_t).copy()
    assert not np.array_equal(session.step(x_t), first)
    kept = session.state
    session.reset()
    np.testing.assert_array_equal(session.step(x_t), first)
    session.reset(kept)
    np.testing.assert_array_equal(session.state[0], kept[0])


@each_runtime
@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (np.zeros((1, BATCH, 16), np.float32), "Pass one time step, without the time axis."),
        (np.zeros((BATCH, 16)), "expected float32 [3, 16], got float64 [3, 16]"),
        (np.zeros((BATCH, 17), np.float32), "got float32 [3, 17]"),
        ({"other": np.zeros((BATCH, 16), np.float32)}, "expected 'inputs', got 'other'"),
        (None, "NoneType"),
    ],
    ids=["time axis", "dtype", "features", "name", "none"],
)
def test_what_is_no_time_step_is_refused(inputs: Any, words: str, runtime: str) -> None:
    with pytest.raises(InputError) as raised:
        load(runtime).session(BATCH).step(inputs)
    assert words in str(raised.value)


@each_runtime
def test_lists_and_ids_are_looked_at(runtime: str) -> None:
    session = load(runtime, "char_rnn").session(2)
    assert session.step([1, 2]).shape == session.step(np.array([1, 2])).shape
    for wrong in (-1, 10**6):
        with pytest.raises(InputError, match="token ids from 0 to"):
            session.step(np.array([0, wrong]))


@each_runtime
def test_states_and_contexts_that_do_not_fit_are_refused(runtime: str) -> None:
    runner = load(runtime)
    session = runner.session(BATCH)
    with pytest.raises(InputError, match="a tuple of 1 arrays, got tuple of 2"):
        session.reset(session.state * 2)
    with pytest.raises(InputError, match="expected"):
        session.reset(runner.initial_state(BATCH + 1))
    with pytest.raises(InputError, match="expected none, got 'speaker'"):
        runner.session(BATCH, {"speaker": np.zeros(2)})
