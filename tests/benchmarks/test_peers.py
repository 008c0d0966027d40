"""The scripts that compare with others: what is timed is the same net, and what is said of the rest."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from rnn_export.models import GRUScratch, LSTMScratch, RNNScratch
from rnn_export.runtimes.compiler import compiler
from rnn_export.runtimes.table import RUNTIMES
from tests.support.paths import ROOT
from tests.support.raising import raising

runner = CliRunner()


@pytest.fixture(autouse=True)
def scripts_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def task(cell: type[torch.nn.Module]):
    import peers
    from shapes import Shape

    shape = Shape(cell, 3, 4, 2, 5, 2)
    net = shape.net()
    inputs, state = shape.example(net)
    nowhere = Path("nowhere.onnx")
    return peers.Task(net, nowhere, nowhere, inputs.numpy(), tuple(leaf.numpy() for leaf in state))


@pytest.mark.parametrize("cell", [RNNScratch, LSTMScratch])
def test_the_layer_of_pytorch_is_the_same_net(cell: type[torch.nn.Module]) -> None:
    import bench as script
    import peers

    given = task(cell)
    assert script.find_fault(peers.eager(given)(), peers.torch_nn(given)) == ""


def test_a_peer_that_is_wrong_missing_or_failing_is_named() -> None:
    import bench as script
    import peers

    given = task(GRUScratch)
    right = peers.eager(given)()

    def off() -> Sequence[torch.Tensor]:
        return [right[0] * 1.002, *right[1:]]

    starts = {
        "right": lambda: lambda: right,
        "off": lambda: off,
        "short": lambda: lambda: [right[0][:1], *right[1:]],
        "nan": lambda: lambda: [right[0] * float("nan"), *right[1:]],
        "missing": raising(ModuleNotFoundError("no")),
        "broken": raising(ValueError("no such operator\nstack")),
    }
    cells = script.race(starts, given, seconds=0.01)
    assert isinstance(cells.pop("right"), float)
    assert cells == {
        "off": "wrong: off by 2e-03 of the largest value",
        "short": "wrong: shape [1, 2, 2]",
        "nan": "wrong: off by nan of the largest value",
        "missing": "not installed",
        "broken": "fails: no such operator",
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import bench as script
        from shapes import JAX, Shape

        shape = Shape(LSTMScratch, 3, 4, 2, 5, 2, ((1.5, JAX),))
        yield script, script.line(shape, tmp_path_factory.mktemp("bench"), seconds=0.05)


@pytest.mark.exhaustive
def test_a_line_of_the_benchmark(tiny) -> None:
    script, line = tiny
    native = [script.C, script.IN_C] if compiler() else []
    for column in ("eager", "torch.nn", "TorchScript", "loop", "scan", "operator", script.OURS, *native):
        assert isinstance(line.cells[column], float), column
    assert line.cells["gated"] == "none"  # that is for another operator
    for column in script.PEERS:
        assert isinstance(line.cells[column], float) or line.cells[column] == "not installed"
    assert line.cells[line.shipped] == line.cells[script.OURS]
    assert not any("reference" in column for column in line.cells)


@pytest.mark.exhaustive
def test_the_document_has_no_empty_cell(tiny) -> None:
    script, line = tiny
    text = script.document([line], script.Limits(100.0, 20.0))
    rows = [row for row in text.splitlines() if row.startswith("| LSTM 3-4-2 | 5 | 2 |")]
    assert len(rows) == 3
    assert all(cell.strip() for row in rows for cell in row.strip("|").split("|"))
    assert "make bench" in text
    assert "onnxruntime 1." in text


@pytest.mark.exhaustive
def test_a_new_runtime_gets_a_column(tiny) -> None:
    script, line = tiny
    more = script.Line(line.shape, {**line.cells, "model.wasm in node": 1.25}, line.shipped)
    headings, [row] = script.headings_and_rows([more])
    assert row[headings.index("model.wasm in node")] == "1.25"


def c_row(cells: dict[str, float | str], *asked: tuple[float, str]) -> dict[str, str]:
    """Lay out a row: 100 us in ONNX Runtime, 60 in JAX, 80 as the operator, but for what is given."""
    import tables
    from limits import Limits
    from shapes import Shape

    shape = Shape(GRUScratch, 5, 10, 2, 1000, 1, asked)
    others = {"JAX": 60.0, "operator": 80.0, "model.onnx": 100.0}
    _, [row] = tables.c_rows([tables.Line(shape, others | cells)], Limits(2.0, 20.0))
    names = ["net", "time", "batch", "in C", "ctypes", "best", "its time", "ratio in C", "ratio"]
    return dict(zip([*names, "asked", "rate", "share"], row, strict=True))


def test_the_row_of_c_compares_with_the_best_other() -> None:
    from shapes import BEST

    row = c_row({"model.c, in C": 1000.0, "model.c": 1200.0, "eager": 600.0, "JAX": 6000.0}, (9, BEST))
    assert (row["in C"], row["ctypes"], row["best"], row["its time"]) == ("1000", "1200", "operator", "80.0")
    assert (row["ratio in C"], row["ratio"], row["asked"]) == ("0.08", "0.07", "9")
    # 2 operations x (3 x (5 + 10) x 10 + 10 x 2) weights x 1000 steps in 1 ms
    assert (row["rate"], row["share"]) == ("0.9", "47%")


def test_the_row_of_c_says_what_it_is_asked_for_against_what() -> None:
    from shapes import JAX, OPERATOR, SESSION

    times = {"model.c, in C": 10.0, "model.c": 20.0}
    row = c_row(times, (6, JAX), (1.5, SESSION))
    assert row["asked"] == "6 against JAX: 6.00 and 3.00; 1.5 against ONNX Runtime: 8.00 and 4.00"
    assert c_row(times, (2, OPERATOR))["asked"] == "2 against ONNX Runtime's operator: 8.00 and 4.00"
    assert c_row(times)["asked"] == "no"


def test_the_row_of_c_without_a_compiler() -> None:
    row = c_row({"model.c": "fails: a C compiler is needed", "model.c, in C": "fails: the same"})
    assert row["in C"] == "fails: the same"
    assert (row["best"], row["ratio in C"], row["rate"]) == (
        "JAX",
        "nothing to compare",
        "nothing to compare",
    )


def test_every_shape_is_asked_for_what_the_benchmark_has() -> None:
    import bench as script
    import tables

    columns = {*script.PEERS, *script.NAMES.values()}
    asked = [what for shape in script.SHAPES for _, what in shape.asked]
    assert set(asked) == set(tables.AGAINST)
    assert len(asked) == 15
    for names in tables.AGAINST.values():
        assert set(names) <= columns
    assert len({(shape.sizes, shape.steps, shape.batch) for shape in script.SHAPES}) == len(script.SHAPES)


@pytest.mark.exhaustive
@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("cell", [RNNScratch, LSTMScratch])
def test_c_called_from_c_gives_the_same_numbers(cell: type[torch.nn.Module], tmp_path: Path) -> None:
    import native

    import rnn_export

    given = task(cell)
    example = torch.from_numpy(given.inputs), tuple(map(torch.from_numpy, given.state))
    bundle = rnn_export.export(given.net, example, tmp_path / "bundle")
    run = native.repeated(bundle.folder / "model.c", bundle.signature, given, tmp_path)
    assert run.count > 1
    call = RUNTIMES["c"].start(bundle.folder / "model.c", bundle.signature)
    for one, other in zip(run(), call(given.inputs, *given.state), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_many_calls_are_divided_among(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench as script
    import native
    import peers

    given = task(RNNScratch)
    right = peers.eager(given)()
    monkeypatch.setattr(script, "measure", lambda runs, seconds: dict.fromkeys(runs, 600.0))
    starts = {"one": lambda: lambda: right, "many": lambda: native.Repeated(lambda: right, 50)}
    assert script.race(starts, given, seconds=0.0) == {"one": 600.0, "many": 12.0}


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_the_limits_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import limits

    monkeypatch.setattr(limits, "TRIES", 1)
    monkeypatch.setattr(limits, "SIZE", 64)
    found = limits.limits()
    assert found.gigaflops > 0
    assert found.nanoseconds > 0


def test_a_long_sequence_is_compared_with_its_chain() -> None:
    import tables
    from limits import Limits
    from shapes import Shape

    lines = [tables.Line(Shape(RNNScratch, 16, 32, 1, 1000, batch), {tables.IN_C: 34.0}) for batch in (1, 2)]
    text = tables.limits_text(lines, Limits(160.4, 24.0))
    assert "reach 160 GFLOP/s" in text
    assert text.endswith(" T=1000 B=1: 34.0 ns a step, of which the chain alone takes 24.0.")


def test_the_forms_are_timed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import bench as script
    from shapes import Shape

    monkeypatch.setattr(script, "FORM_SHAPES", [Shape(RNNScratch, 3, 4, 2, 5, 2)])
    headings, [row] = script.choices(seconds=0.01)
    assert headings == ["Net", "T", "B", "step", "scan", "operator", "gated"]
    assert row[:3] == ["RNN 3-4-2", "5", "2"]
    assert all(float(value) > 0 for value in row[3:])


@pytest.mark.exhaustive
def test_existing_exporters_are_tried_anew() -> None:
    command = [
        sys.executable,
        ROOT / "benchmarks" / "existing_exporters.py",
        "--only",
        "torch.jit.script(model",
    ]
    tried = subprocess.run(
        command, capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"}
    )
    written, typed = [row for row in tried.stdout.splitlines() if "torch.jit.script" in row]
    assert "fails: RuntimeError: Tensor (inferred) cannot be used as a tuple" in written
    assert "compiled, prim::Loop kept: right" in typed
    assert tried.stderr == ""


def test_an_exporter_that_freezes_time_is_caught() -> None:
    import existing_exporters as exporters

    net = RNNScratch(exporters.I, exporters.H, 1, 0.1)

    def frozen(inputs: torch.Tensor, state: torch.Tensor) -> list[torch.Tensor]:
        outputs, (last,) = net(inputs[:1].expand(exporters.T, -1, -1), (state,))
        return [outputs, last]

    assert exporters.fault(lambda *call: list(frozen(*call)), net, exporters.scratch_example) == (
        "silently wrong at T=1 B=1: shape [100, 1, 1] instead of [1, 1, 1]"
    )


def test_layers_are_counted() -> None:
    import existing_exporters as exporters

    results = ["exported, 3 nodes: right", "fails: at 1", "fails: at 22", "fails: else"]
    assert exporters._count(["a", "b", "c", "d"], results) == "1 right; 2 like b: fails: at 1"
    assert exporters._count(["a"], results[:1]) == "1 right"
