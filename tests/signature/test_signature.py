"""What a call looks like, and how a wrong call is told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rnn_export.errors import InputError
from rnn_export.signature.as_json import from_json, to_json
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec, StateSpec
from rnn_export.signature.tree import names_of, tree_build, tree_leaves, tree_of
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported

SIGNATURE = Signature(
    inputs=(InputSpec("inputs", "float32", ("time", "batch", 4)),),
    state=(StateSpec("state_0", "float32", ("batch", 6)), StateSpec("state_1", "float32", ("batch", 2), 0.5)),
    outputs=(OutputSpec("outputs", "float32", ("time", "batch", 3)),),
    tree={"tuple": ["state_0", "state_1"]},
)


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def test_a_right_call_gives_its_sizes() -> None:
    sizes = SIGNATURE.check_call([zeros(9, 5, 4)], [zeros(5, 6), zeros(5, 2)])
    assert sizes == {"time": 9, "batch": 5}


def test_padding_has_one_entry_for_time_and_batch() -> None:
    output = replace(SIGNATURE.outputs[0], padding=[1.0, 2.0, 3.0])
    assert output.ended("float64").tolist() == [[[1.0, 2.0, 3.0]]]
    signature = replace(SIGNATURE, outputs=(output,), lengths=True)
    assert from_json(json.loads(json.dumps(to_json(signature)))) == signature
    assert "padding" not in to_json(SIGNATURE)["outputs"][0]


@pytest.mark.parametrize(
    ("inputs", "state", "message"),
    [
        (
            zeros(9, 5, 3),
            [zeros(5, 6), zeros(5, 2)],
            r"'inputs': expected float32 \[time, batch, 4\], got .*\[9, 5, 3\]",
        ),
        (
            zeros(9, 5),
            [zeros(5, 6), zeros(5, 2)],
            r"'inputs': expected .*, got float32 \[9, 5\]. It has 3 axes, not 2",
        ),
        (zeros(9, 5, 4, dtype="float64"), [zeros(5, 6), zeros(5, 2)], "got float64 .* Convert it to float32"),
        (
            zeros(9, 5, 4),
            [zeros(4, 6), zeros(5, 2)],
            r"'state_0': expected float32 \[batch=5, 6\], got float32 \[4, 6\]",
        ),
        (zeros(9, 5, 4), [zeros(5, 6), zeros(1, 5, 2)], r"'state_1': expected float32 \[batch=5, 2\]"),
        (zeros(9, 5, 4), [zeros(5, 6)], r"'state': expected 2 tensors \(state_0, state_1\), got 1"),
        (zeros(0, 5, 4), [zeros(5, 6), zeros(5, 2)], "at least one time step, one row"),
        (zeros(9, 0, 4), [zeros(0, 6), zeros(0, 2)], "at least one time step, one row"),
    ],
)
def test_a_wrong_call_is_named(inputs: np.ndarray, state: list[np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SIGNATURE.check_call([inputs], state)


def test_initial_state_fills_the_batch() -> None:
    first, second = SIGNATURE.initial_state(3)
    assert first.shape == (3, 6)
    assert second.tolist() == [[0.5, 0.5]] * 3


@pytest.mark.parametrize("count", [0, 1, 2, 10, 11, 101])
def test_states_sorted_by_name_stand_in_their_order(count: int) -> None:
    names = names_of([None] * count)
    assert sorted(names) == names
    assert sorted(f"{name}_out" for name in names) == [f"{name}_out" for name in names]
    assert count > 10 or names == [f"state_{k}" for k in range(count)]


@each_case
def test_json_gives_the_same_signature_back(case: ModelCase, exported: Exported) -> None:
    signature = exported(case).signature
    assert from_json(json.loads(json.dumps(to_json(signature)))) == signature
    assert signature.streamable == case.streamable


@each_case
def test_tree_follows_the_example(case: ModelCase, exported: Exported) -> None:
    _, (_, state) = case.build()
    signature = exported(case).signature
    names = [leaf.name for leaf in signature.state]
    assert signature.tree == tree_of(state, names)
    leaves = dict(zip(names, tree_leaves(state), strict=True))
    rebuilt = tree_build(signature.tree, leaves.__getitem__)
    assert type(rebuilt) is type(state)
    assert tree_leaves(rebuilt) == tree_leaves(state) or len(names) == 1


def test_an_infinity_is_a_word_in_json() -> None:
    leaf = replace(SIGNATURE.state[0], initial=[-np.inf, np.inf, 0.5, 1.0, 2.0, 3.0])
    signature = replace(SIGNATURE, state=(leaf, replace(SIGNATURE.state[1], initial=-np.inf)))
    text = json.dumps(to_json(signature), allow_nan=False)
    first, second = [state["initial"] for state in json.loads(text)["state"]]
    assert first == ["-Infinity", "Infinity", 0.5, 1.0, 2.0, 3.0]
    assert np.array(first, np.float32)[:2].tolist() == [float("-Infinity"), float("Infinity")]
    assert second == "-Infinity"
    assert from_json(json.loads(text)) == signature
