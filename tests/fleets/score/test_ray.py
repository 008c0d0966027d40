"""Scoring on the actors of Ray: workers that are killed lose no row, double none, and change no bit."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray.exceptions import RayTaskError
from typer.testing import CliRunner

import rnn_export
from rnn_export.cli.main import app
from rnn_export.errors import ExportWarning, InputError, RuntimeUnavailableError
from rnn_export.fleets import job, sources
from rnn_export.ray import score
from tests.fleets.score import pipeline
from tests.support.scoring import BUNDLE, a_row, different, direct, sequences

ROWS, GROUP = 200_000, 4_000
FILES_AT_A_KILL = 1, 3, 5
pytestmark = pytest.mark.filterwarnings("default")  # Ray itself uses what it warns of


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start Ray on this machine alone, with four cores, as it takes them; give the folder of its workers."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.chdir(folder)
        ray.init(num_cpus=4, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield folder
        ray.shutdown()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of 200,000 short sequences."""
    path = tmp_path_factory.mktemp("rows") / "in.parquet"
    sequences(path, ROWS, width=16, longest=24, group=GROUP)
    return path


@pytest.fixture(scope="module")
def expected(rows: Path) -> dict[int, bytes]:
    """Give the bits of the outputs of each row: those of direct calls, of rows of one length together."""
    runner = rnn_export.load(BUNDLE, "c")
    table = pq.read_table(rows)
    lengths = np.diff(table["inputs"].combine_chunks().offsets.to_numpy())
    numbers = table["inputs"].combine_chunks().flatten().flatten().to_numpy().reshape(-1, 16)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    found = dict[int, bytes]()
    for length in np.unique(lengths):
        own = np.flatnonzero(lengths == length)
        inputs = numbers[ends[own][None] + np.arange(length)[:, None]]
        outputs, _ = runner(np.ascontiguousarray(inputs))
        found |= {int(row): outputs[:, place].tobytes() for place, row in enumerate(own)}
    return found


def check(results: pa.Table, expected: dict[int, bytes]) -> None:
    """Check that each row is there once, with its bits."""
    ids = results["id"].to_numpy()
    assert len(ids) == len(expected)
    assert len(np.unique(ids)) == len(expected)
    outputs = results["outputs"].combine_chunks()
    ends = np.concatenate([[0], np.cumsum(np.diff(outputs.offsets.to_numpy()))])
    numbers = outputs.flatten().flatten().to_numpy()
    wrong = [
        row
        for place, row in enumerate(ids.tolist())
        if numbers[ends[place] : ends[place + 1]].tobytes() != expected[row]
    ]
    assert wrong == []


def descendants() -> dict[int, str]:
    """Give the processes that this one has started, and those that they have, with their names."""
    parents, names = dict[int, int](), dict[int, str]()
    for process in Path("/proc").iterdir():
        try:
            facts = (process / "stat").read_text().rpartition(")")[2].split()
            names[int(process.name)] = (process / "cmdline").read_text()
            parents[int(process.name)] = int(facts[1])
        except (OSError, ValueError):  # it is no process, or has ended
            continue
    own = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in own} - own:
        own |= more
    return {process: names[process] for process in own if process in names}


def at_work(method: str) -> set[int]:
    """Give the workers that run a method, as Ray calls a process."""
    return {process for process, name in descendants().items() if re.match(f"ray::.*{method}", name)}


class Killer(threading.Thread):
    """Kills workers that run a method, each after so many files of results are there."""

    def __init__(self, method: str, folder: Path) -> None:
        super().__init__()
        self.method, self.folder, self.killed = method, folder, list[int]()
        self.over = threading.Event()

    def run(self) -> None:
        for files in FILES_AT_A_KILL:
            while not self.over.wait(0.005):
                ready = len([*self.folder.glob("[!.]*.parquet")]) >= files
                if ready and (victims := at_work(self.method) - {*self.killed}):
                    self.killed.append(min(victims))
                    os.kill(self.killed[-1], signal.SIGKILL)
                    break

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def test_workers_of_a_dataset_are_killed_and_every_row_is_there_once(
    rows: Path, expected: dict[int, bytes], tmp_path: Path
) -> None:
    dataset = ray.data.read_parquet(str(rows)).repartition(ROWS // GROUP)
    with Killer(r"MapWorker.*\.submit", tmp_path / "out") as killer:
        score(dataset, BUNDLE, workers=2).write_parquet(str(tmp_path / "out"))
    assert len({*killer.killed}) == len(FILES_AT_A_KILL)
    check(pq.read_table(tmp_path / "out"), expected)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sources, job):
        monkeypatch.setattr(module, "PART_ROWS", GROUP)


def command(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("small_parts")
def test_workers_of_the_command_are_killed_and_every_row_is_there_once(
    rows: Path, expected: dict[int, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with Killer(r"_PartWorker\.score", out) as killer:
        said = command("score", BUNDLE, rows, "--out", out, "--ray", "--workers", 2)
    assert len({*killer.killed}) == len(FILES_AT_A_KILL)
    assert "200,000 rows, in 50 files" in said
    check(pq.read_table(out), expected)
    assert not [*out.glob(".*.partial")]
    (out / "part-000007.parquet").unlink()
    assert "196,000 of them before" in command("score", BUNDLE, rows, "--out", out)  # without Ray
    check(pq.read_table(out), expected)


def test_a_worker_that_dies_again_and_again_is_an_error(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnn_export.ray.RETRIES", 0)
    with Killer(r"_PartWorker\.score", tmp_path / "out"):
        done = CliRunner().invoke(
            app, ["score", str(BUNDLE), str(rows), "--out", str(tmp_path / "out"), "--ray", "--workers", "1"]
        )
    assert done.exit_code == 1
    assert "workers: expected parts that are done, got " in done.output


def test_tensors_of_ray_are_scored_and_states_go_on() -> None:
    runner = rnn_export.load(BUNDLE, "c")
    drawn = np.random.default_rng(0)
    rows = [a_row(runner.signature, drawn, runner.signature.arguments) for _ in range(40)]
    ragged = ray.data.from_items([{"id": place, **row} for place, row in enumerate(rows)])
    even = ray.data.from_numpy(np.stack([np.resize(row["inputs"], (5, 16)) for row in rows]))
    results = pa.Table.from_pylist(score(ragged, BUNDLE, state=True).take_all())
    for place, number in enumerate(results["id"].to_pylist()):
        assert different(results, place, direct(runner, rows[number])) == []
    results = pa.Table.from_pylist(score(even, BUNDLE, columns={"inputs": "data"}).take_all())
    found = {np.array(each, np.float32).tobytes() for each in results["outputs"].to_pylist()}
    alone = [direct(runner, {"inputs": np.resize(row["inputs"], (5, 16))})["outputs"] for row in rows]
    assert found == {each.tobytes() for each in alone}


def test_mistakes_are_named() -> None:
    dataset = ray.data.from_items([{"x": [[0.0] * 16], "state_0": np.zeros(32, np.float32)}])
    with pytest.raises(InputError, match=r"the dataset: expected a column 'inputs', got x, state_0\."):
        score(dataset, BUNDLE)
    with pytest.raises(InputError, match=r"column 'x': expected list<.*pass cast=True"):
        score(dataset, BUNDLE, columns={"inputs": "x"})
    with pytest.raises(RuntimeUnavailableError, match="expected 'onnxruntime' or "):
        score(dataset, BUNDLE, runtime="c++")
    with pytest.warns(ExportWarning, match="take 4 cores of the cluster's 4; .* pass fewer workers"):
        score(dataset, BUNDLE, columns={"inputs": "x"}, cast=True, workers=4)
    short = ray.data.from_items([{"inputs": np.zeros((2, 15), np.float32)}])
    with pytest.raises(RayTaskError, match=r"InputError: a table, column 'inputs', row 0: expe"):
        score(short, BUNDLE).take_all()


def test_the_example_of_the_page_runs(cluster: Path) -> None:
    (cluster / "bundles").mkdir()
    (cluster / "bundles" / "my_rnn").symlink_to(BUNDLE)
    sequences(cluster / "day1.parquet", 100, width=16, longest=9)
    pipeline.run()
    assert sorted(pq.read_table("scores_of_dataset")["id"].to_pylist()) == [*range(100)]
