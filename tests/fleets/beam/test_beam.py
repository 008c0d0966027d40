"""Beam's RunInference hands rows to a scorer: every row is there once, with the bits of a direct call."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rnn_export
from tests.fleets.beam import pipeline
from tests.support.scoring import BUNDLE, a_row, different, direct, table_of

pytestmark = pytest.mark.filterwarnings("default")  # Beam itself uses what it warns of
ROWS = 300


def test_rows_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "my_rnn").symlink_to(BUNDLE)
    runner, random = rnn_export.load(BUNDLE, "c"), np.random.default_rng(0)
    rows = [a_row(runner.signature, random, runner.signature.inputs) for _ in range(ROWS)]
    users = pa.array([str(number) for number in range(ROWS)])
    table = table_of(rows, runner.signature.inputs).set_column(0, "user", users)
    pq.write_table(table, tmp_path / "day1.parquet")
    pipeline.run("day1.parquet")
    results = pa.concat_tables([pq.read_table(path) for path in tmp_path.glob("scores_of_beam*")])
    numbers = [int(user) for user in results["user"].to_pylist()]
    assert sorted(numbers) == [*range(ROWS)]
    wrong = [different(results, place, direct(runner, rows[number])) for place, number in enumerate(numbers)]
    assert wrong == [[]] * ROWS
