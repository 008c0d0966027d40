"""Spark hands record batches to a scorer: every row is there once, with the bits of a direct call."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import rnn_export
from tests.fleets.spark import pipeline
from tests.support.scoring import BUNDLE, a_row, different, direct, table_of

pytestmark = pytest.mark.filterwarnings("default")  # Spark itself uses what it warns of
ROWS = 2_000


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SparkSession]:
    """Start Spark on this machine alone, in a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for name in ("bindAddress", "host"):
        builder = builder.config(f"spark.driver.{name}", "127.0.0.1")
    session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.mark.needs("java")
def test_a_table_is_scored(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "my_rnn").symlink_to(BUNDLE)
    runner, random = rnn_export.load(BUNDLE, "c"), np.random.default_rng(0)
    rows = [a_row(runner.signature, random, runner.signature.inputs) for _ in range(ROWS)]
    table = table_of(rows, runner.signature.inputs)
    users = pa.array([str(number) for number in range(ROWS)])
    pq.write_table(table.set_column(0, "user", users), tmp_path / "day1.parquet", row_group_size=300)
    spark.conf.set("spark.sql.files.maxPartitionBytes", "200000")
    assert spark.read.parquet("day1.parquet").rdd.getNumPartitions() > 1
    pipeline.run(spark)
    results = pq.read_table(tmp_path / "scores_of_spark")
    numbers = [int(user) for user in results["user"].to_pylist()]
    assert sorted(numbers) == [*range(ROWS)]
    assert [
        different(results, place, direct(runner, rows[number])) for place, number in enumerate(numbers)
    ] == [[]] * ROWS
