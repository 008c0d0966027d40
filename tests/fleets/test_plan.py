"""Which columns are taken and given, and what is refused before anything runs."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

import rnn_export
from rnn_export.errors import InputError
from rnn_export.fleets.columns import column_type
from rnn_export.fleets.plan import Asked, Plan, plan
from rnn_export.signature.signature import Signature
from tests.support.scoring import BUNDLE

STEPS, STATE = pa.list_(pa.list_(pa.float32())), pa.list_(pa.float32())
PLAIN = {"id": pa.int64(), "inputs": STEPS}


@pytest.fixture(scope="module")
def signature() -> Signature:
    return rnn_export.Bundle.open(BUNDLE).signature


def planned(signature: Signature, types: dict[str, Any], **asked: Any) -> Plan:
    return plan(signature, pa.schema([*types.items()]), Asked(**{"columns": {}, **asked}), "rows.parquet")


def test_the_columns_of_the_names_are_taken(signature: Signature) -> None:
    found = planned(signature, {**PLAIN, "day": pa.string()})
    assert (found.taken, found.given) == ({"inputs": "inputs"}, {"outputs": "outputs"})
    assert (found.kept, found.read) == (("id", "day"), ["id", "day", "inputs"])


def test_columns_have_names_of_their_own(signature: Signature) -> None:
    types = {"outputs": pa.int64(), "x": STEPS, "h": STATE}
    columns = {"inputs": "x", "state_0": "h", "outputs": "score", "state_0_out": "h_next"}
    found = planned(signature, types, columns=columns, state=True, keep=["x"])
    assert found.taken == {"inputs": "x", "state_0": "h"}
    assert found.given == {"outputs": "score", "state_0_out": "h_next"}
    assert found.read == ["x", "h"]


def test_a_column_of_lengths_may_be_left_out(signature: Signature) -> None:
    ragged = replace(signature, lengths=True)
    assert "lengths" not in planned(ragged, PLAIN).taken
    assert planned(ragged, {**PLAIN, "lengths": pa.int32()}).taken["lengths"] == "lengths"
    with pytest.raises(InputError, match=r"rows\.parquet: expected a column 'n', got id, inputs"):
        planned(ragged, PLAIN, columns={"lengths": "n"})


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a missing column": (
        {"id": pa.int64(), "input": STEPS},
        {},
        "rows.parquet: expected a column 'inputs', got id, input. Did you mean 'input'?",
    ),
    "no name that is near": (
        {"id": pa.int64(), "x": STEPS},
        {},
        "expected a column 'inputs', got id, x. columns={'inputs': ...} (--column) names another.",
    ),
    "another type": (
        {"inputs": pa.list_(pa.list_(pa.float64()))},
        {},
        "rows.parquet, column 'inputs': expected list<item: list<item: float>>, got list<item: "
        "list<item: double>>. Convert the column, or pass cast=True (--cast), which rounds its numbers.",
    ),
    "a name of no tensor": (
        PLAIN,
        {"columns": {"input": "x"}},
        "columns: expected of inputs, state_0, outputs, state_0_out, got 'input'. Did you mean 'inputs'?",
    ),
    "a result of the name of a column": (
        {**PLAIN, "outputs": STEPS},
        {},
        "expected one column 'outputs' in the results, got two. Name the result's otherwise",
    ),
    "two results of one name": (
        PLAIN,
        {"columns": {"outputs": "y", "state_0_out": "y"}, "state": True},
        "expected one column 'y' in the results, got two.",
    ),
    "nothing to keep": (
        PLAIN,
        {"keep": ["ids"]},
        "expected a column 'ids', got id, inputs. Did you mean 'id'?",
    ),
    "the state's column, named, is not there": (
        PLAIN,
        {"columns": {"state_0": "h"}},
        "expected a column 'h', got id, inputs.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_before_anything_runs(mistake: str, signature: Signature) -> None:
    types, asked, words = MISTAKES[mistake]
    with pytest.raises(InputError) as error:
        planned(signature, types, **asked)
    assert words in str(error.value)


def test_a_state_comes_with_all_its_leaves(signature: Signature) -> None:
    [leaf] = signature.state
    both = replace(signature, state=(leaf, replace(leaf, name="state_1")))
    types = {**PLAIN, "state_1": column_type(leaf)}
    with pytest.raises(InputError, match="expected a column 'state_0', got id, inputs, state_1"):
        planned(both, types)
    assert set(planned(both, {**types, "state_0": column_type(leaf)}).taken) == {
        "inputs",
        "state_0",
        "state_1",
    }


def test_a_model_of_whole_sequences_has_no_state(signature: Signature) -> None:
    whole = replace(signature, not_streamable_because="it looks ahead")
    assert "state_0" not in planned(whole, {**PLAIN, "state_0": STATE}).taken
    with pytest.raises(
        InputError, match=r"state: no call of this model goes on .*: it looks ahead. Leave it"
    ):
        planned(whole, PLAIN, state=True)
