"""The pipeline of docs/scoring.md, for a folder with a bundle and a file of Parquet."""

import ray

import rnn_export.ray


def run() -> None:
    """Score the file."""
    results = rnn_export.ray.score(
        ray.data.read_parquet("day1.parquet"),
        "bundles/my_rnn",
        workers=2,  # actors, which Ray starts again if they die
        threads=1,  # cores of each; Ray needs others to read with
    )
    results.write_parquet("scores_of_dataset")
