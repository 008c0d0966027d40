"""A folder of results, written part by part: each appears whole, under its name, or not at all.

A run that is killed leaves the parts that it has finished. The next one that is asked the same finds them,
and does the others. What was asked is written down in the folder, and its sha256 in each part: results of
another model, of other files or of other columns are never taken for those that are asked for.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.staging import explained, sync_one
from rnn_export.errors import ScoreError, mismatch
from rnn_export.failures import typed
from rnn_export.fleets.plan import Asked, Plan, plan
from rnn_export.fleets.scorer import Scorer
from rnn_export.fleets.sources import PART_BYTES, PART_ROWS, Part, Rows, find, parts_of, schema_of
from rnn_export.runtimes.table import Runner

RECORD = "_score.json"  # what was asked; readers of Parquet skip names that begin with a line
LOCK = ".score.lock"
PARTIAL = ".partial"
FORMAT_VERSION = 1
DIGEST = b"rnn_export.score"  # in the metadata of each part: the sha256 of what was asked, and its number
ANOTHER = "Name another folder, or remove this one."


@dataclass(frozen=True)
class Job:
    """Files to score, and where the results go.

    Attributes:
        folder: of the results.
        plan: which columns are read and written.
        parts: all of them, in the order of the rows.
        record: what was asked, for JSON.
    """

    folder: Path
    plan: Plan
    parts: tuple[Part, ...]
    record: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """The sha256 of what was asked."""
        return hashlib.sha256(json.dumps(self.record, sort_keys=True).encode()).hexdigest()

    def about(self, part: Part) -> dict[bytes, bytes]:
        """Give the metadata of a part's file."""
        return {DIGEST: f"{self.digest} {part.number}".encode()}

    def missing(self) -> list[list[Part]]:
        """Give the parts that are not there, those of the same row groups together, as one reads them.

        Raises:
            ScoreError: a file with the name of a part is none of this job.
        """
        missing = [part for part in self.parts if not self._is_there(part)]
        return [[*parts] for _, parts in groupby(missing, lambda part: (part.source.name, part.groups))]

    def _is_there(self, part: Part) -> bool:
        path = self.folder / part.name
        if not path.exists():
            return False
        with typed(f"Reading {path}", ScoreError, "Remove it: it is written again."):
            metadata = pq.read_metadata(path)
        about = {name: (metadata.metadata or {}).get(name) for name in self.about(part)}
        if about != self.about(part) or metadata.num_rows != part.rows:
            raise ScoreError(mismatch(str(path), "a part of these results", "another file", ANOTHER))
        return True


def ask(path: Path, bundle: Bundle, folder: Path, asked: Asked, runtime: str) -> Job:
    """Find what there is to do, and check all that can be checked before anything runs.

    Args:
        path: a file of Parquet, or a folder of several.
        bundle: the model.
        folder: of the results.
        asked: which columns.
        runtime: of the model.

    Raises:
        ScoreError: there is nothing to score, the files cannot be read, or the results would be among them.
        InputError: a column is missing, or has another type.
    """
    if folder.resolve().is_relative_to(path.resolve()):
        remedy = "Name one outside: its files would be scored themselves."
        raise ScoreError(mismatch(str(folder), "a folder of results", f"one within {path}", remedy))
    sources = find(path)
    columns = plan(bundle.signature, schema_of(sources), asked, str(path))
    record = {
        "format": "rnn_export.score",
        "format_version": FORMAT_VERSION,
        "model": {
            name: facts["sha256"]
            for name, facts in bundle.manifest.files.items()
            if name.startswith("model.")
        },
        "runtime": runtime,
        "columns": {**columns.taken, **columns.given},
        "keep": [*columns.kept],
        "files": [source.to_json() for source in sources],
        "parts": {"bytes": PART_BYTES, "rows": PART_ROWS},
    }
    return Job(folder, columns, tuple(parts_of(sources, columns.read)), record)


@contextmanager
def begun(job: Job) -> Iterator[list[list[Part]]]:
    """Begin, or go on with, the results of a job: give the parts that are missing.

    Raises:
        ScoreError: the folder cannot be written, has something else in it, or another run writes there.
    """
    lock = FileLock(job.folder / LOCK)
    with explained(job.folder, ScoreError):
        job.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            remedy = "Wait for its end, or name another folder."
            raise ScoreError(mismatch(str(job.folder), "no other run", "one at work", remedy)) from error
    try:
        with explained(job.folder, ScoreError):
            _check_record(job)
            _clean(job)
        yield job.missing()
        _clean(job)
    finally:
        lock.release()


def _check_record(job: Job) -> None:
    """See that the folder is that of this job: its record says the same, or it is empty and gets one."""
    path = job.folder / RECORD
    others = [each.name for each in job.folder.iterdir() if each.name not in (LOCK, RECORD)]
    if not path.exists():
        if others := [name for name in others if not name.endswith(PARTIAL)]:
            got = f"{len(others)} other files"
            raise ScoreError(mismatch(str(job.folder), "an empty folder, or no such path", got, ANOTHER))
        with _whole(path) as temporary:
            temporary.write_text(json.dumps(job.record, indent=1) + "\n")
        return
    with typed(f"Reading {path}", ScoreError, ANOTHER):
        found = json.loads(path.read_text())
        different = [name for name in {**job.record, **found} if found.get(name) != job.record.get(name)]
    if different:
        expected, got = "results of what is asked", f"others: their {' and '.join(different)} differ"
        raise ScoreError(mismatch(str(job.folder), expected, got, ANOTHER))


def _clean(job: Job) -> None:
    """Remove what killed workers have left."""
    for path in job.folder.glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; it gets its name when all of it is on the disk, and goes after an error."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}{PARTIAL}")
    try:
        yield temporary
        sync_one(temporary)
        temporary.replace(path)
        sync_one(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def score_parts(job: Job, runner: Runner, parts: list[Part], count: Callable[[int], None]) -> None:
    """Score parts of the same row groups, in their order.

    Args:
        job: that they are of.
        runner: the model.
        parts: what :meth:`Job.missing` gives together.
        count: is told how many rows more are done.

    Raises:
        InputError: a row is not what the model takes.
        ScoreError: a file cannot be read or written.
        BundleError: the file of the model fails.
    """
    scorer, source = Scorer(runner, job.plan), parts[0].source
    rows = Rows(source, parts[0].groups, job.plan.read)
    schema = scorer(rows.schema.empty_table(), str(source.path)).schema
    for part in parts:
        target, row = job.folder / part.name, part.first
        described = schema.with_metadata(job.about(part))
        with (
            explained(target, ScoreError),
            _whole(target) as temporary,
            temporary.open("wb") as file,
            pq.ParquetWriter(file, described) as writer,
        ):
            for table in rows.tables(part.start, part.start + part.rows):
                writer.write_table(scorer(table, str(source.path), row).cast(described))
                row += len(table)
                count(len(table))
