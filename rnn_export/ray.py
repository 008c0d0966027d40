"""Score the rows of a Ray dataset on a pool of actors, which Ray starts again where one dies."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset
from ray.exceptions import RayError, RayTaskError
from ray.util import ActorPool

from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import RnnExportError, ScoreError, mismatch, warn
from rnn_export.fleets.files import Run, spread
from rnn_export.fleets.job import Job, score_parts
from rnn_export.fleets.plan import Asked, plan
from rnn_export.fleets.sources import Part
from rnn_export.fleets.tables import TableScorer
from rnn_export.runtimes.load import load
from rnn_export.runtimes.table import Runner

LOOPBACK = "127.0.0.1"
RETRIES = 5  # of the same parts, whose worker has died


class Shipped:
    """A bundle as bytes: a worker on another machine has it without its folder.

    Args:
        bundle: what is shipped.
        runtime: that it will run in.
        threads: that share the rows of a call.
    """

    def __init__(self, bundle: Bundle, runtime: str, threads: int) -> None:
        load(bundle.folder, runtime, threads)  # what fails, fails here
        with tempfile.TemporaryDirectory() as folder:
            bundle.copy(Path(folder))
            paths = [path for path in Path(folder).rglob("*") if path.is_file()]
            self._files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        self._runtime, self._threads = runtime, threads

    def load(self) -> Runner:
        """Load it, as :func:`rnn_export.load` does."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self._files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return load(folder, self._runtime, self._threads)


class _BatchWorker:
    """Scores batches of a dataset."""

    def __init__(self, shipped: Shipped, options: Mapping[str, Any]) -> None:
        self._scorer = TableScorer(shipped.load(), **options)

    def __call__(self, table: Any) -> Any:
        return self._scorer(table)


def score(
    dataset: Dataset,
    bundle: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] | None = None,
    state: bool = False,
    cast: bool = False,
    runtime: str = "c",
    workers: int = 1,
    threads: int = 1,
    batch_size: int | None = None,
    **options: Any,
) -> Dataset:
    """Run a bundle over the rows of a Ray dataset: give the dataset of the results.

    A row is a sequence: its columns are called as the tensors of the signature, and hold lists, or tensors of
    Ray. Rows may differ in length. An output of every time step is a column of lists, one of the last time
    step a value. Columns that the model does not take are copied, an id as a rule.

    In ``"c"``, a row has the same bits in any batch and on any worker, also where one died and its batch was
    run again. Other runtimes may round in another way in another batch.

    Args:
        dataset: of rows.
        bundle: its folder here; the workers are sent its files.
        columns: the column of a tensor, where it is called differently: ``{"inputs": "features"}``.
        keep: the columns that are copied; ``None`` copies all that the model does not take.
        state: whether the new state is written, too. Where there are columns of the state's names a row
            goes on from them: those of results are called ``NAME_out``.
        cast: whether numbers of another type may be rounded to the model's.
        runtime: as :func:`rnn_export.load` takes it.
        workers: how many actors; the cluster needs cores beside theirs, with which it reads.
        threads: of each, which are cores that it takes of the cluster.
        batch_size: rows; ``None`` are those of a block.
        options: others of ``Dataset.map_batches``.

    Raises:
        BundleError: there is no bundle.
        RuntimeUnavailableError: it does not run in this runtime.
        InputError: a column is missing, or has another type. What is wrong with a row is raised when Ray
            comes to it, within an error of Ray's.
    """
    asked: dict[str, Any] = {"columns": dict(columns or {}), "keep": keep, "state": state, "cast": cast}
    opened = Bundle.open(bundle)
    shipped = Shipped(opened, runtime, threads)
    if ray.is_initialized() and workers * threads >= (there := ray.cluster_resources().get("CPU", 0)):
        warn(
            f"The workers take {workers * threads} cores of the cluster's {there:g}; Ray reads with others. "
            "It may wait for ever: pass fewer workers, or num_cpus=0.5."
        )
    schema = dataset.schema()
    if schema is not None and isinstance(schema.base_schema, pa.Schema):
        plan(opened.signature, schema.base_schema, Asked(**asked), "the dataset")
    return dataset.map_batches(
        _BatchWorker,
        fn_constructor_args=(shipped, asked),
        batch_format="pyarrow",
        batch_size=batch_size,
        zero_copy_batch=True,
        compute=ActorPoolStrategy(size=workers),
        **{"num_cpus": threads, **options},
    )


class _PartWorker:
    """Scores parts of files."""

    def __init__(self) -> None:
        self._runner: Runner | None = None

    def score(self, parts: list[Part], job: Job, shipped: Shipped) -> int:
        """Score parts, and give the number of their rows."""
        self._runner = self._runner or shipped.load()
        score_parts(job, self._runner, parts, lambda rows: None)
        return sum(part.rows for part in parts)


def on_workers(bundle: Bundle, runtime: str, workers: int | None, threads: int | None) -> Run:
    """Run a model on actors of the cluster of ``RAY_ADDRESS``, or of one that is started on this machine.

    Args:
        bundle: the model.
        runtime: as :func:`rnn_export.load` takes it.
        workers: how many actors; ``None`` are as many as there are cores for them.
        threads: of each; ``None`` is one.
    """
    shipped = Shipped(bundle, runtime, threads or 1)

    def run(job: Job, missing: list[list[Part]], count: Callable[[int], None]) -> None:
        with _cluster():
            each = threads or 1
            many = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // each)
            options = {"num_cpus": each, "max_restarts": -1, "max_task_retries": RETRIES}
            missing = spread(missing, many)
            actors = [ray.remote(**options)(_PartWorker).remote() for _ in range(min(many, len(missing)))]
            about = ray.put(replace(job, parts=())), ray.put(shipped)
            with _own_errors():
                for rows in ActorPool(actors).map_unordered(
                    lambda actor, parts: actor.score.remote(parts, *about), missing
                ):
                    count(rows)

    return run


@contextmanager
def _cluster() -> Iterator[None]:
    """Connect to a cluster: the present one, that of ``RAY_ADDRESS``, or one on this machine alone."""
    if ray.is_initialized():
        yield
        return
    own = {} if os.environ.get("RAY_ADDRESS") else {"_node_ip_address": LOOPBACK, "include_dashboard": False}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **own)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_errors() -> Iterator[None]:
    """Raise what a worker has raised, not what Ray says of it.

    Raises:
        ScoreError: a worker died again and again, or could not begin.
    """
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, RnnExportError):
            raise error.cause from None
        raise
    except RayError as error:
        reason = str(error).strip().partition("\n")[0]
        remedy = "See the logs of Ray; a worker may lack memory."
        raise ScoreError(mismatch("workers", "parts that are done", reason, remedy)) from error
