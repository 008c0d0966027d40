"""Rows to score: a table of random sequences of several lengths, and what a direct call gives for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rnn_export.fleets.columns import column_type, row_shape
from rnn_export.fleets.plan import Asked, plan
from rnn_export.fleets.scorer import Scorer
from rnn_export.runtimes.table import Runner
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import TIME
from rnn_export.signature.tensors import TensorSpec
from tests.support.paths import ARTIFACTS

BUNDLE = ARTIFACTS / "rnn_scratch"
LONGEST, PLACES = 12, 5  # time steps, and entries of other free axes

Row = dict[str, np.ndarray]  # for each tensor that goes in its value, without the batch


def a_row(signature: Signature, rng: np.random.Generator, specs: Sequence[TensorSpec]) -> Row:
    """Draw a sequence of some length, and what else a call takes."""
    sizes = {TIME: int(rng.integers(signature.least, LONGEST + 1)) if signature.timed else 1}
    sizes |= {name: int(rng.integers(1, PLACES)) for name in signature.free_sizes}
    return {spec.name: drawn(spec, rng, sizes) for spec in specs}


def drawn(spec: TensorSpec, rng: np.random.Generator, sizes: dict[str, int]) -> np.ndarray:
    shape = [sizes[size] if isinstance(size, str) else size for size in row_shape(spec)]
    if spec.name == "lengths" or getattr(spec, "counts_steps", False):
        return np.asarray(rng.integers(1, sizes[TIME] + 1), spec.dtype)
    if spec.dtype == "bool":
        return rng.random(shape) < 0.5
    if spec.dtype == "int64":
        return rng.integers(0, getattr(spec, "vocabulary", None) or 3, shape)
    return rng.standard_normal(shape).astype(spec.dtype)


def table_of(rows: Sequence[Row], specs: Sequence[TensorSpec]) -> pa.Table:
    """Make a table, with a number for each row."""
    columns = {
        spec.name: pa.array([row[spec.name].tolist() for row in rows], column_type(spec)) for spec in specs
    }
    return pa.table({"id": np.arange(len(rows)), **columns})


def direct(runner: Runner, row: Row) -> Row:
    """Run a row by itself."""
    signature = runner.signature
    given = {
        spec.name: np.expand_dims(row[spec.name], spec.batch_axis)
        for spec in signature.arguments
        if spec.name in row
    }
    state = tuple(given[leaf.name] for leaf in signature.state if leaf.name in given)
    inputs = {spec.name: given[spec.name] for spec in signature.inputs}
    outputs, new_state = runner(inputs, state or None, given.get("lengths") if signature.lengths else None)
    names = signature.output_names
    several = outputs if len(signature.outputs) > 1 else {names[0]: outputs}
    return several | dict(zip(names[len(signature.outputs) :], new_state, strict=True))


def scorer(runner: Runner, table: pa.Table, **asked: Any) -> Scorer:
    return Scorer(runner, plan(runner.signature, table.schema, Asked(**{"columns": {}, **asked}), "table"))


def different(results: pa.Table, place: int, expected: Row) -> list[str]:
    """Name the results of a row that have other bits than a direct call gives."""
    return [
        name
        for name in results.column_names
        if name in expected
        and np.array(results[name][place].as_py(), expected[name].dtype).tobytes() != expected[name].tobytes()
    ]


def sequences(path: Path, rows: int, *, width: int, longest: int, group: int = 1 << 20) -> None:
    """Write a file of Parquet with sequences of floats, of 1 to ``longest`` time steps."""
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    ends = np.concatenate([[0], np.cumsum(rng.integers(1, longest + 1, rows))]).astype(np.int32)
    numbers = pa.array(rng.standard_normal(ends[-1] * width, np.float32))
    steps = pa.ListArray.from_arrays(np.arange(ends[-1] + 1, dtype=np.int32) * width, numbers)
    table = pa.table({"id": np.arange(rows), "inputs": pa.ListArray.from_arrays(ends, steps)})
    pq.write_table(table, path, row_group_size=group)
