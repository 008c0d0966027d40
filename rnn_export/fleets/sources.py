"""Files of Parquet that are scored: what they are, how they are cut into parts, and their rows as a stream.

A part is the rows of one file of the results. It is made of several small row groups, or of a piece of a
large one:

    row groups      |  a  |  b  |          c          |
    parts           |     0     |   1   |   2   |  3  |

Which parts there are depends on the footers of the files alone, so a second run finds those of the first.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rnn_export.errors import ScoreError, mismatch
from rnn_export.failures import typed

PART_BYTES = 1 << 28  # of the columns that are read
PART_ROWS = 1 << 17  # at most, that a killed run has to do again
BATCH_BYTES = 1 << 25  # in memory, of the rows that are run at once
READ_BYTES = 1 << 22  # of the rows that are decoded at once
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4}  # bytes of a number; of others 8
BUFFER = 1 << 20  # bytes of a column that are read at once; without it, all of a row group's
ENDING = b"PAR1"  # of a file of Parquet, behind its footer and the footer's length


@dataclass(frozen=True)
class Source:
    """A file that is scored.

    ``name`` is its path within the folder that was named. The others say which file it is: a changed one has
    another size, another moment of its last change (in nanoseconds), or another sha256 of its footer.
    """

    path: Path
    name: str
    rows: int
    size: int
    changed: int
    footer: str

    def to_json(self) -> dict[str, Any]:
        """Say which file it is, wherever it lies."""
        return {name: value for name, value in asdict(self).items() if name != "path"}


@dataclass(frozen=True)
class Part:
    """Rows of one file of results.

    Attributes:
        number: counts the parts of all files.
        source: the file.
        groups: its row groups that hold the rows.
        start: the first row, counted from that of the first of those groups.
        rows: how many.
        first: the first row, counted from that of the file.
    """

    number: int
    source: Source
    groups: tuple[int, ...]
    start: int
    rows: int
    first: int

    @property
    def name(self) -> str:
        """The file of its results."""
        return f"part-{self.number:06}.parquet"


def find(path: Path) -> list[Source]:
    """Find the files of Parquet that a path names: one, or all in a folder, in the order of their names.

    Raises:
        ScoreError: there is none, one is no file of Parquet, or a folder has values of a column in its name.
    """
    if path.is_dir():
        inside = (each for each in sorted(path.rglob("*.parquet")) if each.is_file())
        files = [each for each in inside if not _is_hidden(each.relative_to(path))]
    else:
        files = [path] if path.exists() else []
    if not files:
        got = "a folder without" if path.is_dir() else "no such path"
        raise ScoreError(mismatch(str(path), "a file of Parquet, or a folder of *.parquet", got, "Name one."))
    for file in files:
        folders = file.relative_to(path).parts[:-1] if path.is_dir() else ()
        if column := next((name for name in folders if "=" in name), None):
            remedy = "Score each of these folders, or write the column into the files."
            raise ScoreError(mismatch(str(path), "columns within the files", f"a folder {column!r}", remedy))
    return [
        _source(file, file.relative_to(path).as_posix() if path.is_dir() else file.name) for file in files
    ]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _source(path: Path, name: str) -> Source:
    with typed(f"Reading {path}", ScoreError, "Name a file of Parquet."), path.open("rb") as file:
        facts = path.stat()
        file.seek(max(0, facts.st_size - 8))
        ending = file.read(8)
        if ending[4:] != ENDING:
            raise ScoreError(mismatch(str(path), "a file of Parquet", "something else", "Name another file."))
        file.seek(-8 - int.from_bytes(ending[:4], "little"), 2)
        footer = hashlib.sha256(file.read()).hexdigest()
        rows = pq.read_metadata(path).num_rows
    return Source(path, name, rows, facts.st_size, facts.st_mtime_ns, footer)


def schema_of(sources: Sequence[Source]) -> Any:
    """Give the schema of Arrow that all files have.

    Raises:
        ScoreError: they have several.
    """
    first, *others = [pq.read_schema(source.path).remove_metadata() for source in sources]
    for source, schema in zip(sources[1:], others, strict=True):
        if not schema.equals(first):
            own, others_own = ({f"{field.name}: {field.type}" for field in each} for each in (schema, first))
            different = sorted(own ^ others_own) or ["another order"]
            got = f"other columns: {', '.join(different)}"
            raise ScoreError(
                mismatch(str(source.path), f"the columns of {sources[0].name}", got, "Score it by itself.")
            )
    return first


def parts_of(sources: Sequence[Source], columns: Sequence[str]) -> list[Part]:
    """Cut files into parts, whose columns of some names take some ``PART_BYTES`` at most."""
    parts = list[Part]()
    for source in sources:
        first = 0
        for groups, rows, size in _runs(source, columns):
            many = max(round(size / PART_BYTES), -(-rows // PART_ROWS))
            ends = [rows * place // max(1, many) for place in range(many + 1)]
            for start, stop in pairwise(ends):
                if start < stop:
                    parts.append(Part(len(parts), source, groups, start, stop - start, first + start))
            first += rows
    return parts


def _runs(source: Source, columns: Sequence[str]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Give row groups that are small together, or a large one: their numbers, their rows and bytes."""
    metadata = pq.read_metadata(source.path)
    groups, rows, size = list[int](), 0, 0
    for number in range(metadata.num_row_groups):
        own = _bytes(metadata.row_group(number), columns)
        own_rows = metadata.row_group(number).num_rows
        if groups and (size + own > PART_BYTES or rows + own_rows > PART_ROWS):
            yield tuple(groups), rows, size
            groups, rows, size = [], 0, 0
        groups.append(number)
        rows, size = rows + own_rows, size + own
    if groups:
        yield tuple(groups), rows, size


def _bytes(group: Any, columns: Sequence[str]) -> int:
    """Give the bytes that some columns of a row group take in memory: texts are as long as in the file."""
    chunks = map(group.column, range(group.num_columns))
    return sum(
        max(each.total_uncompressed_size, WIDTHS.get(each.physical_type, 8) * each.num_values)
        for each in chunks
        if f"{each.path_in_schema}.".startswith(tuple(f"{name}." for name in columns))
    )


class Rows:
    """The rows of some row groups as a stream, of which little is in memory.

    Args:
        source: the file.
        groups: the numbers of the row groups.
        columns: those that are read.

    Raises:
        ScoreError: the file has changed, or cannot be read.
    """

    def __init__(self, source: Source, groups: Sequence[int], columns: Sequence[str]) -> None:
        self._source = source
        facts = source.path.stat()
        if (facts.st_size, facts.st_mtime_ns) != (source.size, source.changed):
            expected, remedy = "the file that was found first", "Score it when nobody writes to it."
            raise ScoreError(mismatch(str(source.path), expected, "a changed one", remedy))
        file = pq.ParquetFile(source.path, buffer_size=BUFFER, pre_buffer=False)
        every = [file.metadata.row_group(number) for number in groups]
        rows, size = sum(each.num_rows for each in every), sum(_bytes(each, columns) for each in every)
        at_once = max(1, READ_BYTES * rows // max(1, size))
        self._batches = file.iter_batches(at_once, row_groups=[*groups], columns=[*columns])
        self.schema = pa.schema([file.schema_arrow.field(name) for name in columns])
        self._left: Any = None  # what is decoded and not given
        self._at = 0  # the number of its first row

    def tables(self, start: int, stop: int) -> Iterator[Any]:
        """Give some rows, in tables of about ``BATCH_BYTES``; a later call may only ask for later rows.

        Raises:
            ScoreError: the file cannot be read.
        """
        taken = list[Any]()
        while self._at < stop:
            if self._left is None:
                with typed(f"Reading {self._source.path}", ScoreError, "Write the file again."):
                    self._left = next(self._batches)
            low, high = max(0, start - self._at), min(stop - self._at, len(self._left))
            if low < high:
                taken.append(self._left.slice(low, high - low))
            self._at += high
            self._left = self._left.slice(high) if high < len(self._left) else None
            if sum(batch.nbytes for batch in taken) >= BATCH_BYTES:
                yield pa.Table.from_batches(taken)
                taken = []
        if taken:
            yield pa.Table.from_batches(taken)
