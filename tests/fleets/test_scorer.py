"""A table is scored as each of its rows is by itself, bit by bit in C, whatever stands beside it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.errors import InputError
from rnn_export.fleets import scorer as scoring
from rnn_export.runtimes.table import Runner
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec
from tests.support.c_programs import needs_compiler
from tests.support.cases import COMPILED, CallCase, ModelCase, sample, the
from tests.support.exports import Exported
from tests.support.general_calls import GENERAL
from tests.support.paths import ARTIFACTS
from tests.support.scoring import BUNDLE, a_row, different, direct, scorer, table_of

ROWS = 60


def check(bundle: Bundle, *, runtime: str = "c", lengths: bool = False, state: bool = False) -> int:
    """Score random rows, compare each with a direct call; give how many calls had several rows."""
    runner = rnn_export.load(bundle.folder, runtime)
    signature, rng = runner.signature, np.random.default_rng(0)
    specs = [spec for spec in signature.arguments if spec not in signature.state or state]
    rows = [a_row(signature, rng, specs) for _ in range(ROWS)]
    if not lengths:  # those of the lists are taken
        counted = {spec.name for spec in specs if scoring.counts_steps(spec)}
        for row in rows:
            for name in counted:
                timed = row[signature.sequence.name]
                row[name] = np.asarray(timed.shape[scoring.row_shape(signature.sequence).index("time")])
        specs = [spec for spec in specs if spec.name not in counted]
    table = table_of(rows, specs)
    own = scorer(runner, table, state=signature.streamable and bool(signature.state))
    cuts = list[tuple[int, int]]()
    calls = own._calls
    own._calls = lambda sizes: (cuts.append(rows) or rows for rows in calls(sizes))  # type: ignore[method-assign]
    results = own(table, "table")
    assert results["id"].to_pylist() == [*range(ROWS)]
    assert [different(results, place, direct(runner, row)) for place, row in enumerate(rows)] == [[]] * ROWS
    assert {*results.column_names} >= {spec.name for spec in signature.outputs}
    return sum(stop - start > 1 for start, stop in cuts)


@needs_compiler
@pytest.mark.parametrize(
    "case", sample(COMPILED, "lstm", "bidirectional", "tagger", "classifier", "list_state", "layers_first")
)
def test_every_row_has_the_bits_of_a_direct_call(case: ModelCase | CallCase, exported: Exported) -> None:
    bundle = exported(case)
    assert check(bundle)
    if bundle.signature.streamable:
        assert check(bundle, state=True)


@needs_compiler
@pytest.mark.parametrize("name", ["lstm", "tagger"])
def test_rows_of_similar_lengths_are_padded_where_the_files_take_lengths(
    name: str, exported_ragged: Exported
) -> None:
    bundle = exported_ragged(the(name))
    few = check(bundle), check(bundle, lengths=True, state=True)
    assert all(few)


class Halved(torch.nn.Module):
    """Gives an output for every two time steps, of which a backward layer has seen all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 5, 3, stride=2, padding=1)
        self.gru = torch.nn.GRU(5, 6, bidirectional=True, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(self.conv(x.mT).mT)[0]


OTHERS: dict[str, Callable[[Path], Bundle]] = {
    name: lambda folder, call=call: rnn_export.export(call.make().eval(), call.draw(7, 3, 5), folder)  # type: ignore[misc]
    for name, call in GENERAL.items()
}
OTHERS["half the time steps"] = lambda folder: rnn_export.export(
    Halved().eval(), (torch.rand(3, 9, 4),), folder
)


@needs_compiler
@pytest.mark.parametrize("name", sample([*OTHERS], "packed"))
def test_several_inputs_and_outputs(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    bundle = OTHERS[name](tmp_path / "b")
    check(bundle)
    check(bundle, lengths=True)


@needs_compiler
def test_calls_are_of_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "TOGETHER", 4)
    runner = rnn_export.load(BUNDLE, "c")
    rng = np.random.default_rng(1)
    rows = [a_row(runner.signature, rng, runner.signature.inputs) for _ in range(ROWS)]
    table = table_of(rows, runner.signature.inputs)
    own = scorer(runner, table)
    sizes = {"time": np.sort([len(row["inputs"]) for row in rows])}
    calls = [*own._calls(sizes)]
    assert [start for start, _ in calls[1:]] == [stop for _, stop in calls[:-1]]
    assert max(stop - start for start, stop in calls) == 4
    assert all(len({*sizes["time"][start:stop]}) == 1 for start, stop in calls)
    assert [different(own(table, ""), place, direct(runner, row)) for place, row in enumerate(rows)] == [
        []
    ] * ROWS


def test_no_row_has_no_result_of_the_same_types() -> None:
    runner = rnn_export.load(BUNDLE)
    table = table_of(
        [a_row(runner.signature, np.random.default_rng(0), runner.signature.inputs)], runner.signature.inputs
    )
    own = scorer(runner, table, state=True)
    assert own(table.slice(0, 0), "").schema == own(table, "").schema
    assert len(own(table.slice(0, 0), "")) == 0


def test_nan_and_infinities_pass_through() -> None:
    runner = rnn_export.load(BUNDLE)
    rows = [{"inputs": np.full((2, 16), value, np.float32)} for value in (np.nan, np.inf, 1)]
    table = table_of(rows, runner.signature.inputs)
    found = scorer(runner, table)(table, "")["outputs"].to_pylist()
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[2]).all()


SHORT = pa.table({"inputs": pa.array([[[0.0] * 16] * 3, []], pa.list_(pa.list_(pa.float32())))})
IDS = pa.table({"inputs": pa.array([[1, 2], [3, 99]], pa.list_(pa.int64()))})
BEGUN = {"state_0": pa.array([[0.0] * 32, None], pa.list_(pa.float32()))}


@pytest.mark.parametrize(
    ("name", "table", "words"),
    [
        ("rnn_scratch", SHORT, "row 501: expected at least 1 of time, got 0. Leave the row out, or pad it."),
        ("char_rnn", IDS, "row 501: expected token ids from 0 to "),
        (
            "rnn_scratch",
            SHORT.append_column("state_0", BEGUN["state_0"]),
            "row 501: expected numbers alone, got a null",
        ),
    ],
)
def test_a_row_that_the_model_does_not_take_is_named(name: str, table: pa.Table, words: str) -> None:
    runner = rnn_export.load(ARTIFACTS / name)
    with pytest.raises(InputError, match=f"rows.parquet, column '.*{words}"):
        scorer(runner, table)(table, "rows.parquet", 500)


def unrun(signature: Signature) -> Runner:
    """Give a runner that has to fail before it runs."""
    return Runner(lambda *_: pytest.fail("it ran"), signature, "none", (rnn_export.load, ("", "", 1)))


def test_lengths_are_within_the_lists() -> None:
    signature = replace(rnn_export.Bundle.open(BUNDLE).signature, lengths=True)
    table = SHORT.slice(0, 1)
    for count in (4, -1):
        counted = table.append_column("lengths", pa.array([count]))
        with pytest.raises(
            InputError, match=f"'lengths', row 0: expected a number of .* from 0 to .* got {count}"
        ):
            scorer(unrun(signature), counted)(counted, "rows")


def test_the_columns_of_a_row_are_of_one_length() -> None:
    signature = rnn_export.Bundle.open(BUNDLE).signature
    gaps = InputSpec("gaps", "float32", ("time", "batch"))
    several = replace(signature, inputs=(*signature.inputs, gaps))
    table = SHORT.slice(0, 1).append_column("gaps", pa.array([[0.0] * 2], pa.list_(pa.float32())))
    with pytest.raises(InputError, match=r"column 'gaps', row 0: expected time 3, got 2. A row's columns"):
        scorer(unrun(several), table)(table, "rows")
