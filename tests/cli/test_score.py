"""``rnn-export score``: Parquet to Parquet, gone on with after a kill, and what a person types wrong."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import rnn_export
from rnn_export.cli.main import app
from rnn_export.fleets import packages
from tests.support.c_programs import needs_compiler
from tests.support.scoring import BUNDLE, different, direct, sequences

FILES, ROWS = 20, 2_000
runner = CliRunner()


def command(*arguments: object, status: int = 0) -> str:
    done = runner.invoke(app, ["score", *map(str, arguments)])
    assert done.exit_code == status, done.output
    return done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with ``in/00.parquet`` to ``in/19.parquet``."""
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        sequences(tmp_path / "in" / f"{number:02}.parquet", ROWS, width=16, longest=12)
    return tmp_path


@needs_compiler
def test_a_run_that_is_killed_is_gone_on_with(folder: Path) -> None:
    program = Path(sys.executable).with_name("rnn-export")
    out, kills = folder / "out", 0
    line = [program, "score", BUNDLE, folder / "in", "--out", out, "--threads", "1"]
    for parts in (2, 6, 11):
        running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len([*out.glob("part-*.parquet")]) < parts and running.poll() is None:
            time.sleep(0.001)
        running.kill()
        kills += running.wait() < 0
    there = len([*out.glob("part-*.parquet")])
    assert kills == 3
    assert 11 <= there < FILES
    said = command(BUNDLE, folder / "in", "--out", out)
    assert f"{FILES * ROWS:,} rows, {there * ROWS:,} of them before, in {FILES} files" in " ".join(
        said.split()
    )
    found, call = pq.read_table(out), rnn_export.load(BUNDLE, "c")
    assert found["id"].to_pylist() == [*range(ROWS)] * FILES
    for place in range(0, len(found), 997):
        row = pq.read_table(folder / "in" / f"{place // ROWS:02}.parquet").slice(place % ROWS, 1)
        inputs = np.array(row["inputs"][0].as_py(), np.float32)
        assert different(found, place, direct(call, {"inputs": inputs})) == []


def test_columns_are_named(tmp_path: Path) -> None:
    rows = {
        "user": ["a", "b"],
        "x": [[[0.5] * 16] * 3, [[0.25] * 16]],
        "h": [[0.0] * 32] * 2,
        "note": ["", ""],
    }
    pq.write_table(pa.table(rows), tmp_path / "in.parquet")
    named = ("--column", "inputs=x", "--column", "state_0=h", "--column", "outputs=score", "--keep", "user")
    arguments = (
        BUNDLE,
        tmp_path / "in.parquet",
        "--out",
        tmp_path / "out",
        "--runtime",
        "onnxruntime",
        *named,
    )
    assert "pass cast=True (--cast), which rounds its numbers" in " ".join(
        command(*arguments, status=1).split()
    )
    assert not (tmp_path / "out").exists()
    done = json.loads(command(*arguments, "--cast", "--state", "--json"))
    assert (done["rows"], done["scored"], done["parts"]) == (2, 2, 1)
    found = pq.read_table(tmp_path / "out")
    assert found.column_names == ["user", "score", "state_0_out"]
    assert [len(each) for each in found["score"].to_pylist()] == [3, 1]


MISTAKES = {
    ("--workers", "2"): "expected --ray beside --workers, got none",
    ("--column", "inputs"): "expected NAME=COLUMN, got 'inputs'",
    ("--column", "inputs="): "expected NAME=COLUMN, got 'inputs='",
    ("--threads", "0"): "Invalid value for '--threads'",
}


@pytest.mark.several(4)
@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_what_is_typed_wrong_is_named(arguments: tuple[str, ...], tmp_path: Path) -> None:
    said = command(BUNDLE, tmp_path, "--out", tmp_path / "out", *arguments, status=2)
    assert MISTAKES[arguments] in " ".join(said.replace("│", " ").split())


@pytest.mark.several(2)
@pytest.mark.parametrize(("package", "extra"), [("pyarrow", "score"), ("ray", "ray")])
def test_a_missing_package_is_named(
    package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == package else name)
    said = command(BUNDLE, tmp_path / "in.parquet", "--out", tmp_path / "out", "--ray", status=1)
    words = f"expected the package '{package}', got none. Run: pip install 'rnn-export[{extra}]'"
    assert words in " ".join(said.split())
    assert not (tmp_path / "out").exists()
