"""Files are scored part by part: a kill loses no row and doubles none; nothing else is taken."""

import json
import multiprocessing
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import InputError, ScoreError
from rnn_export.fleets import files, job, sources
from rnn_export.fleets.files import Scored, score_files
from rnn_export.fleets.plan import Asked
from tests.support.c_programs import needs_compiler
from tests.support.killing import killed
from tests.support.scoring import BUNDLE, scorer, sequences

ROWS, PART = 330, 100
PARTS = [f"part-{number:06}.parquet" for number in range(4)]

Score = Callable[..., Scored]


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Give what scores ``in.parquet``, of 330 rows in one row group, to four parts in ``out``."""
    for module in (sources, job):
        monkeypatch.setattr(module, "PART_ROWS", PART)
    sequences(tmp_path / "in.parquet", ROWS, width=16, longest=9)
    bundle = Bundle.open(BUNDLE)
    run = files.here(bundle, "onnxruntime", 1)

    def one(path: Path = tmp_path / "in.parquet", folder: Path = tmp_path / "out", **asked: Any) -> Scored:
        return score_files(
            path, bundle, folder, run, asked=Asked(**{"columns": {}, **asked}), runtime="onnxruntime"
        )

    return one


def whole(folder: Path, path: Path, rows: slice = slice(None)) -> None:
    """Check that a folder holds each row of a file once, in order, with the numbers of a whole table."""
    table, found = pq.read_table(path), pq.read_table(folder)
    expected = scorer(rnn_export.load(BUNDLE), table)(table, "")
    assert found["id"].to_pylist() == expected["id"].to_pylist()[rows]
    for own, other in zip(found["outputs"].to_pylist(), expected["outputs"].to_pylist()[rows], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)  # the rows of a call are others


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_scored_in_parts(score: Score, tmp_path: Path) -> None:
    done = score()
    assert (done.rows, done.scored, done.parts) == (ROWS, ROWS, 4)
    assert listed(tmp_path / "out") == [job.LOCK, job.RECORD, *PARTS]
    whole(tmp_path / "out", tmp_path / "in.parquet")
    assert [pq.read_metadata(tmp_path / "out" / name).num_rows for name in PARTS] == [82, 83, 82, 83]


def test_a_folder_is_scored_in_the_order_of_its_names(score: Score, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "in.parquet")
    (tmp_path / "many" / "b").mkdir(parents=True)
    (tmp_path / "many" / "_old").mkdir()
    places = {"a.parquet": (0, 150), "b/c.parquet": (150, 0), "b/d.parquet": (150, 180)}
    for name, (start, rows) in places.items():  # small row groups go into one part together
        pq.write_table(table.slice(start, rows), tmp_path / "many" / name, row_group_size=40)
    for name in ("_old/x.parquet", ".y.parquet", "z.txt"):
        (tmp_path / "many" / name).write_text("not to be read")
    assert score(tmp_path / "many").parts == 4
    whole(tmp_path / "out", tmp_path / "in.parquet")


def test_no_row_is_scored_twice(score: Score, tmp_path: Path) -> None:
    score()
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in PARTS}
    assert score().scored == 0
    (tmp_path / "out" / PARTS[1]).unlink()
    assert score().scored == 83
    after = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in PARTS}
    assert [name for name in PARTS if before[name] != after[name]] == [PARTS[1]]
    whole(tmp_path / "out", tmp_path / "in.parquet")


@pytest.mark.parametrize(
    "stride", [pytest.param(1, marks=pytest.mark.exhaustive), pytest.param(7, marks=pytest.mark.daily)]
)
@needs_compiler
def test_a_kill_at_any_line_loses_nothing(
    stride: int, tmp_path: Path, score: Score, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In C, every run writes the same bytes: those of a run that nobody killed."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and nothing to a kill
    bundle = Bundle.open(BUNDLE)
    run = files.here(bundle, "c", 1)

    def work(folder: Path) -> Scored:
        return score_files(tmp_path / "in.parquet", bundle, folder, run, asked=Asked({}))

    work(tmp_path / "expected")
    expected = {name: (tmp_path / "expected" / name).read_bytes() for name in PARTS}
    line, kills, gone_on = 1, 0, 0
    folder = tmp_path / "killed"
    while killed(lambda: work(folder), line, {job.__file__, files.__file__}):
        found = [name for name in PARTS if (folder / name).exists()]
        assert all((folder / name).read_bytes() == expected[name] for name in found)
        scored = work(folder).scored
        assert scored == ROWS - sum(pq.read_metadata(folder / name).num_rows for name in found)
        assert listed(folder) == [job.LOCK, job.RECORD, *PARTS]
        assert {name: (folder / name).read_bytes() for name in PARTS} == expected
        for name in listed(folder):
            (folder / name).unlink()
        folder.rmdir()
        line, kills, gone_on = line + stride, kills + 1, gone_on + (0 < scored < ROWS)
    assert kills * stride > 100
    assert gone_on > kills // 4


@needs_compiler
def test_threads_write_the_same_bytes_and_an_error_ends_all(score: Score, tmp_path: Path) -> None:
    bundle, path = Bundle.open(BUNDLE), tmp_path / "in.parquet"
    for threads in (1, 3):
        run = files.here(bundle, "c", threads)
        score_files(path, bundle, tmp_path / str(threads), run, asked=Asked({}))
    for name in PARTS:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()
    wrong = pq.read_table(path).to_pylist()
    wrong[90]["inputs"] = []
    pq.write_table(pa.Table.from_pylist(wrong, pq.read_schema(path)), path)
    with pytest.raises(InputError, match="row 90"):
        score_files(path, bundle, tmp_path / "out", run, asked=Asked({}))
    assert not [*(tmp_path / "out").glob(f".*{job.PARTIAL}")]


def changed(path: Path, folder: Path) -> None:
    sequences(path, ROWS, width=16, longest=8)


def torn(path: Path, folder: Path) -> None:
    (folder / PARTS[0]).write_bytes((folder / PARTS[0]).read_bytes()[:-9])


def of_another(path: Path, folder: Path) -> None:
    pq.write_table(pq.read_table(folder / PARTS[0]).replace_schema_metadata(None), folder / PARTS[0])


def exchanged(path: Path, folder: Path) -> None:
    (folder / PARTS[1]).rename(folder / PARTS[3])


def unreadable(path: Path, folder: Path) -> None:
    (folder / job.RECORD).write_text("{")


def of_another_model(path: Path, folder: Path) -> None:
    record = json.loads((folder / job.RECORD).read_text())
    record["model"]["model.c"] = "0"
    (folder / job.RECORD).write_text(json.dumps(record))


def without_record(path: Path, folder: Path) -> None:
    (folder / job.RECORD).unlink()


REFUSED = {
    changed: r"out: expected results of what is asked, got others: their files differ. Name another folder",
    torn: r"Reading .*part-000000.parquet failed: .* Remove it: it is written again.",
    of_another: r"part-000000.parquet: expected a part of these results, got another file.",
    exchanged: r"part-000003.parquet: expected a part of these results, got another file.",
    unreadable: r"Reading .*_score.json failed: JSONDecodeError",
    of_another_model: r"got others: their model differ.",
    without_record: r"out: expected an empty folder, or no such path, got 4 other files.",
}


@pytest.mark.several(7)
@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_results_of_something_else_are_refused(
    change: Callable[[Path, Path], None], score: Score, tmp_path: Path
) -> None:
    score()
    change(tmp_path / "in.parquet", tmp_path / "out")
    with pytest.raises(ScoreError, match=REFUSED[change]):
        score()


def test_other_columns_are_another_question(score: Score) -> None:
    score()
    with pytest.raises(ScoreError, match="their columns differ"):
        score(state=True)
    with pytest.raises(ScoreError, match="their keep differ"):
        score(keep=[])


def hold(path: Path, locked: Any, done: Any) -> None:
    with job.FileLock(path / job.LOCK):
        locked.set()
        done.wait()


def test_two_runs_at_once_are_refused(score: Score, tmp_path: Path) -> None:
    score()
    context = multiprocessing.get_context("spawn")
    locked, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "out", locked, done))
    other.start()
    assert locked.wait(60)
    with pytest.raises(ScoreError, match=r"expected no other run, got one at work. Wait for its end"):
        score()
    done.set()
    other.join()
    assert score().scored == 0


INPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (lambda folder: folder / "none", "expected a file of Parquet, .* got no such path"),
    "an empty folder": (lambda folder: made(folder / "empty"), "got a folder without. Name one."),
    "a text": (lambda folder: written(folder / "a.parquet", b"a,b,c\n1,2,3\n"), "got something else"),
    "nearly nothing": (lambda folder: written(folder / "a.parquet", b"PAR1"), "expected a file of Parquet"),
    "a torn file": (
        lambda folder: written(folder / "a.parquet", b"PAR1\xff\xff\xff\x00PAR1"),
        "Reading .*a.parquet failed",
    ),
    "a column in names": (
        lambda folder: copied(folder / "in.parquet", folder / "days" / "day=1"),
        "got a folder 'day=1'. Score each",
    ),
    "several schemas": (
        lambda folder: another(folder / "in.parquet", folder / "two"),
        "expected the columns of 0.parquet, got other columns: id: int64, key: int64",
    ),
    "the results themselves": (lambda folder: folder, "expected a folder of results, got one within"),
}


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def copied(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / path.name).write_bytes(path.read_bytes())
    return folder.parent


def another(path: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / "0.parquet").write_bytes(path.read_bytes())
    pq.write_table(pq.read_table(path).rename_columns(["key", "inputs"]), folder / "1.parquet")
    return folder


@pytest.mark.several(8)
@pytest.mark.parametrize("name", INPUTS)
def test_what_cannot_be_scored_is_refused(name: str, score: Score, tmp_path: Path) -> None:
    make, words = INPUTS[name]
    with pytest.raises(ScoreError, match=words):
        score(make(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_wrong_row_is_named_and_no_part_of_it_is_there(score: Score, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "in.parquet")
    rows = table["inputs"].to_pylist()
    rows[200] = []
    pq.write_table(
        table.set_column(1, "inputs", pa.array(rows, table["inputs"].type)), tmp_path / "in.parquet"
    )
    with pytest.raises(
        InputError, match=r"in.parquet, column 'inputs', row 200: expected at least 1 of time"
    ):
        score()
    assert listed(tmp_path / "out") == [job.LOCK, job.RECORD, *PARTS[:2]]


def test_a_file_that_changes_meanwhile_is_noticed(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = job.find(tmp_path / "in.parquet")
    monkeypatch.setattr(job, "find", lambda _: found)
    os.utime(tmp_path / "in.parquet")
    with pytest.raises(ScoreError, match="expected the file that was found first, got a changed one"):
        score()


def test_where_there_is_no_room_nothing_is_left(score: Score, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))  # bytes of a file
    try:
        with pytest.raises(ScoreError, match=r"part-000000.parquet cannot be written: .* Make room there"):
            score()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listed(tmp_path / "out") == [job.LOCK, job.RECORD]
    score()
    whole(tmp_path / "out", tmp_path / "in.parquet")


def test_the_name_of_a_column_may_have_a_dot(score: Score, tmp_path: Path) -> None:
    table = pq.read_table(tmp_path / "in.parquet")
    pq.write_table(table.rename_columns(["the.id", "the.inputs"]), tmp_path / "in.parquet")
    group = pq.read_metadata(tmp_path / "in.parquet").row_group(0)
    assert sources._bytes(group, ["the.inputs"]) > ROWS * 16 * 4
    assert sources._bytes(group, ["the.inputs", "the.id"]) > sources._bytes(group, ["the.inputs"])
    score(columns={"inputs": "the.inputs"})
    assert pq.read_table(tmp_path / "out")["the.id"].to_pylist() == [*range(ROWS)]


def test_large_row_groups_are_read_in_pieces(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "READ_BYTES", 1 << 10)
    monkeypatch.setattr(sources, "BATCH_BYTES", 1 << 12)
    [source] = sources.find(tmp_path / "in.parquet")
    rows = sources.Rows(source, (0,), ["id"])
    found = [*rows.tables(10, 20), *rows.tables(200, 201)]
    assert pa.concat_tables(found)["id"].to_pylist() == [*range(10, 20), 200]
    sizes = [len(table) for table in sources.Rows(source, (0,), ["id", "inputs"]).tables(0, ROWS)]
    assert sum(sizes) == ROWS
    assert max(sizes) < 40
    score()
    whole(tmp_path / "out", tmp_path / "in.parquet")
