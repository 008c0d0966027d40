"""The program for Spark of docs/scoring.md, for a folder with a bundle and a file of Parquet."""

from pyspark.sql import SparkSession

from rnn_export.fleets.tables import TableScorer


def run(spark: SparkSession) -> None:
    """Score the file."""
    scorer = TableScorer("bundles/my_rnn")
    rows = spark.read.parquet("day1.parquet")
    results = rows.mapInArrow(scorer.batches, "user string, outputs array<array<float>>")
    results.write.parquet("scores_of_spark")
