"""What scores a table is handed to other processes, and takes record batches."""

import pickle

import numpy as np
import pytest

import rnn_export
from rnn_export.errors import InputError
from rnn_export.fleets.tables import TableScorer
from tests.support.scoring import BUNDLE, a_row, table_of

SIGNATURE = rnn_export.Bundle.open(BUNDLE).signature


def test_it_is_pickled_with_what_is_asked() -> None:
    scorer = TableScorer(
        BUNDLE, columns={"outputs": "score"}, keep=[], state=True, cast=True, runtime="onnxruntime"
    )
    random = np.random.default_rng(0)
    table = table_of([a_row(SIGNATURE, random, SIGNATURE.inputs) for _ in range(20)], SIGNATURE.inputs)
    results = scorer(table)
    assert results.column_names == ["score", "state_0_out"]
    assert pickle.loads(pickle.dumps(scorer))(table).equals(results)
    assert len([*pickle.loads(pickle.dumps(scorer.batches))(table.to_batches(max_chunksize=7))]) == 3
    with pytest.raises(InputError, match="a table: expected a column 'inputs', got id"):
        scorer(table.select(["id"]))
