"""``bench``: who takes turns, and what is said of those that are not timed. Never how fast."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from rnn_export.benchmark import bench
from rnn_export.bundle.bundle import MANIFEST, describe_files, manifest_text
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.cli import main
from rnn_export.cli.main import app
from rnn_export.errors import RuntimeUnavailableError
from rnn_export.runtimes.compiler import compiler
from rnn_export.runtimes.table import RUNTIMES, Runtime
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported
from tests.support.raising import raising

runner = CliRunner()


def test_a_form_that_wins_at_another_size_is_named() -> None:
    times = {
        ("model.onnx", "onnxruntime"): (10.0, 400.0, 90.0),
        ("variants/scan.onnx", "onnxruntime"): (20.0, 100.0, 88.0),
        ("variants/step.onnx", "onnxruntime"): (30.0, 200.0, 95.0),
        ("variants/loop.onnx", "reference"): (1.0, 1.0, 1.0),
        ("model.c", "c"): (1.0, 1.0, 1.0),
    }
    shapes = (1, 1), (1000, 16), (100, 2)
    assert bench.other_forms(times, shapes) == [
        "T=1000 B=16: variants/scan.onnx takes 100 us, model.onnx 400 us, in onnxruntime"
    ]
    assert bench.other_forms({}, shapes) == []


def test_bench_and_report_say_which_form_wins_elsewhere(
    rnn: ModelCase, exported: Exported, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = exported(rnn)
    assert bundle.manifest.example == {"time": 9, "batch": 3}
    found = bench.Benchmark(
        "rnn",
        ((1000, 16),),
        (
            bench.Row("model.onnx", "onnxruntime", (400.0,), (0.25,)),
            bench.Row("variants/scan.onnx", "onnxruntime", (100.0,), (4.0,)),
        ),
    )
    monkeypatch.setattr(bench, "bench", lambda *_, **__: found)
    monkeypatch.setattr("rnn_export.report.latency.bench", lambda *_, **__: found)
    said = "T=1000 B=16: variants/scan.onnx takes 100 us, model.onnx 400 us"
    assert said in runner.invoke(app, ["bench", str(bundle.folder)]).stdout
    page = tmp_path / "page.html"
    shown = runner.invoke(app, ["report", str(bundle.folder), "--measure", "--out", str(page)])
    assert shown.exit_code == 0
    assert said in page.read_text()
    assert "expected to be the fastest at T=9, B=3" in page.read_text()


def test_ratios_of_one_alone() -> None:
    assert bench.ratios({"a": 3.0}) == {"a": 1.0}


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (lambda: "made", "made"),
        (lambda: "other", "wrong: other"),
        (raising(ModuleNotFoundError("No module named 'engine'")), "not installed"),
        (raising(RuntimeUnavailableError("it ignores lengths")), "fails: it ignores lengths"),
        (raising(ValueError("first line\nsecond line")), "fails: first line"),
        (raising(ValueError()), "fails: ValueError"),
    ],
)
def test_what_is_wrong_missing_or_failing_is_named(start, said: str) -> None:
    assert bench.attempt(start, lambda made: made if made == "other" else "") == said


def lines(case: ModelCase, exported: Exported, *arguments: object) -> tuple[Path, str]:
    folder = exported(case).folder
    few = ["--shape", "2,3", "--shape", "1,1", "--seconds", 0.01]
    command = ["bench", str(folder), *map(str, few), *map(str, arguments)]
    shown = runner.invoke(app, command, env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    return folder, shown.stdout


def pairs(folder: Path) -> set[tuple[str, str]]:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    return {
        (file, runtime.name)
        for file in files
        for runtime in RUNTIMES.values()
        if file.endswith(runtime.suffix) and file != STEP_ONNX
    }


@each_case
def test_every_file_is_timed_in_every_runtime(case: ModelCase, exported: Exported) -> None:
    folder, printed = lines(case, exported, "--json")
    result = json.loads(printed)
    assert result["shapes"] == [{"time": 2, "batch": 3}, {"time": 1, "batch": 1}]
    assert {(row["file"], row["runtime"]) for row in result["rows"]} == pairs(folder)
    for row in result["rows"]:
        if row["note"]:
            assert row["runtime"] == "reference"
            assert "reference evaluator" in row["note"]
            continue
        assert len(row["microseconds"]) == len(row["ratios"]) == 2
        assert min(row["microseconds"]) > 0


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_c_is_timed_where_there_is_c(rnn: ModelCase, exported: Exported) -> None:
    folder, printed = lines(rnn, exported)
    assert ("model.c", "c") in pairs(folder)
    [row] = [row for row in map(str.split, printed.splitlines()) if row[:2] == ["model.c", "c"]]
    assert min(map(float, row[2:])) > 0


def test_the_table_shows_every_file(rnn: ModelCase, exported: Exported) -> None:
    folder, printed = lines(rnn, exported)
    assert "…" not in printed
    for file, runtime in pairs(folder):
        assert any(file in row and runtime in row for row in printed.splitlines())


def test_a_runtime_that_is_missing_or_wrong_is_named(
    rnn: ModelCase, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported(rnn)
    zeros = ModuleType("rnn_export.runtimes.zeros")
    zeros.start = lambda path, signature, read: (
        lambda inputs, *state: [
            np.zeros(spec.sized(time=inputs.shape[0], batch=inputs.shape[1]), spec.dtype)
            for spec in signature.results
        ]
    )
    monkeypatch.setitem(sys.modules, zeros.__name__, zeros)
    monkeypatch.setitem(RUNTIMES, "zeros", Runtime("zeros", ".pt", "numpy"))
    monkeypatch.setitem(RUNTIMES, "nowhere", Runtime("nowhere", ".pt", "no_such_package"))
    _, printed = lines(rnn, exported)
    assert "model.pt in nowhere: not installed" in printed
    assert "model.pt in zeros: wrong: " in printed
    assert ": expected " in printed
    assert printed.count(" - ") == 4


@pytest.mark.daily
@pytest.mark.parametrize("shape", ["3", "3,", "3,0", "3,2,1", "a,b"])
def test_shapes_are_pairs_of_numbers(shape: str) -> None:
    shown = runner.invoke(app, ["bench", "somewhere", "--shape", shape])
    assert shown.exit_code == 2
    assert f"expected T,B, as 100,2, got {shape!r}" in " ".join(shown.output.split())


def test_eager_is_a_row_and_what_the_others_are_compared_with(rnn: ModelCase, exported: Exported) -> None:
    model, example = rnn.build()
    result = bench.bench(exported(rnn).folder, [(2, 3)], seconds=0.01, eager=(model, example, {}))
    first, *others = result.rows
    assert (first.file, first.runtime, first.note) == ("your module", "PyTorch, eager", "")
    assert first.speedups == (1.0,)
    for row in others:
        assert row.speedups == pytest.approx((first.microseconds[0] / row.microseconds[0],))
    assert result.to_json()["rows"][0]["speedups"] == (1.0,)


def test_another_module_than_the_bundles_is_not_timed(rnn: ModelCase, exported: Exported) -> None:
    model, example = rnn.build()
    with torch.no_grad():
        model.b_q += 1
    other = torch.nn.GRU(7, 3), torch.zeros(9, 3, 7)
    for (net, args), said, remedy in (
        ((model, example), "wrong: ", "torch.manual_seed"),
        (other, "fails: the call of GRU: expected ", "Name the module"),
    ):
        [row] = bench.bench(exported(rnn).folder, [(1, 1)], seconds=0.01, eager=(net, args, {})).rows[:1]
        assert row.note.startswith(said), row.note
        assert remedy in row.note
        assert row.speedups == row.microseconds == ()


def test_the_command_line_times_eager(
    rnn: ModelCase, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "load_model", lambda target, checkpoint: (*rnn.build(), {}), raising=False)
    _, printed = lines(rnn, exported, "--eager", "nets.py:factory")
    assert "your module" in printed
    assert "how many times as fast as your module in PyTorch" in printed


def test_a_changed_bundle_is_not_timed(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    (folder / "model.pt").write_bytes(b"")
    failed = runner.invoke(app, ["bench", str(folder)])
    assert failed.exit_code == 1
    assert "model.pt has 0 bytes" in failed.output


def test_a_file_that_cannot_be_loaded_is_named(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    folder = shutil.copytree(exported(rnn).folder, tmp_path / "copy")
    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(manifest_text({**manifest, "files": describe_files(folder)}))
    result = bench.bench(folder, [(1, 1)], seconds=0.01)
    [row] = [row for row in result.rows if (row.file, row.runtime) == ("model.onnx", "onnxruntime")]
    assert row.note.startswith("fails: ")
    assert row.microseconds == ()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can keep a process on one core")
def test_one_core_is_given_back() -> None:
    import os

    before = os.sched_getaffinity(0)
    with bench.one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
