"""The program for Beam of docs/scoring.md, for a folder with a bundle and a file of Parquet."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference

from rnn_export.fleets.tables import TableScorer

Row = dict[str, Any]


class BundleHandler(ModelHandler[Row, PredictionResult, TableScorer]):
    """Runs a bundle over rows of a schema."""

    def __init__(self, bundle: str, schema: pa.Schema) -> None:
        super().__init__()
        self._bundle, self._schema = bundle, schema

    def load_model(self) -> TableScorer:
        """Load it, once in a process."""
        return TableScorer(self._bundle)

    def run_inference(
        self, batch: Sequence[Row], model: TableScorer, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Score some rows."""
        results = model(pa.Table.from_pylist([*batch], self._schema))
        return map(PredictionResult, batch, results.to_pylist())


def run(path: str) -> None:
    """Score a file."""
    handler = BundleHandler("bundles/my_rnn", pq.read_schema(path))
    written = pa.schema([("user", pa.string()), ("outputs", pa.list_(pa.list_(pa.float32())))])
    with beam.Pipeline() as pipeline:
        rows = pipeline | beam.io.ReadFromParquet(path)
        results = rows | RunInference(handler) | beam.Map(lambda result: result.inference)
        results | beam.io.WriteToParquet("scores_of_beam", written)
