"""What a model may do while ``optimize`` tries it: it ends a process of its own, and nothing else."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

import rnn_export
from rnn_export import optimizer
from rnn_export.passes import pipeline
from rnn_export.passes.operators.guard import unguarded
from rnn_export.program.program import Program
from rnn_export.program.session import run_here
from rnn_export.runtimes import model_runs
from rnn_export.runtimes.empty_comparison import empty_fault
from rnn_export.runtimes.model_runs import DeadRunError, RunError
from tests.support import loops

ENDLESS = loops.model(
    "n = Constant <value = int64 {4611686018427387904}> ()"
    + loops.loop("h_t = Neg (h_s) y_t = Exp (x_0)", trips="n").replace("last, y =", "last, many =")
    + "y = Gather (many, zero)",
    "net (float[T,B,3] x, float[B,3] h, float[1] x_0) => (float[1] y, float[B,3] last)",
).SerializeToString()
ZEROS = ", ".join("0" * 27)
CRASHING = loops.model(
    loops.loop(loops.STEP)
    + f"""
    W = Constant <value = float[1,9,3] {{{ZEROS}}}> ()
    none = Slice (x, axis, axis, axis) nothing, never = GRU <hidden_size = 3> (none, W, W)
    """,
    loops.CALL.replace("last)", "last, float[1,B,3] never)"),
)
CALL = {"x": np.zeros(3, np.float32)}


def identity(kind: str) -> bytes:
    """Give a model that gives what it takes."""
    text = f'<ir_version: 8, opset_import: ["" : 18]> net ({kind} x) => ({kind} y) {{ y = Identity (x) }}'
    return parser.parse_model(text).SerializeToString()


def test_a_loop_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_runs, "LIMIT", 1.0)
    model = onnx.load_model_from_string(ENDLESS)
    result = rnn_export.optimize(model)
    assert result.model is model
    limits = r"1 s of the processor|10 s by the clock"  # the latter where others have the processor
    assert re.search(rf"of 1 time steps and 1 rows: took more than ({limits})", result.loops[0].left)
    assert rnn_export.optimize(loops.FOLDS["a list"]).form  # in the next process


def test_a_file_that_crashes_is_left() -> None:
    result = rnn_export.optimize(CRASHING)
    assert result.model is CRASHING
    assert "the process ended with signal " in result.loops[0].left


def test_an_answer_to_an_empty_call_does_not_become_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its guard, an operator ends the process of a call without a time step or a row."""
    model = loops.FOLDS["a scan output"]
    monkeypatch.setattr(
        pipeline,
        "forms_of",
        lambda stages: {"gated": Program(unguarded(stages[-1].program.model))},
    )
    result = rnn_export.optimize(model)
    assert result.model is model
    assert result.loops[0].left.startswith("rewritten, with 0 time steps and 2 rows: the process ended with ")


def test_an_answer_to_an_empty_call_does_not_become_an_error_or_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = loops.FOLDS["a scan output"]
    right = optimizer.no_steps
    monkeypatch.setattr(optimizer, "no_steps", lambda program: program)
    monkeypatch.setattr(pipeline, "forms_of", lambda stages: {"scan": stages[-1].program.copy()})
    monkeypatch.setattr(pipeline, "PASSES", ())
    left = rnn_export.optimize(model).loops[0].left
    assert left.startswith("rewritten, with 0 time steps and 2 rows: it fails: [ONNXRuntimeError]")
    monkeypatch.setattr(optimizer, "no_steps", right)
    assert rnn_export.optimize(model).form == "scan"


def test_an_answer_to_an_empty_call_stays_what_it_was() -> None:
    given, other = (
        Program(ir.from_proto(loops.model(f"y = Neg (x) last = {operator} (h)")))
        for operator in ("Abs", "Neg")
    )
    assert empty_fault(given, given) == ""
    assert empty_fault(given, other) == "rewritten, with 0 time steps and 2 rows: it gives another 'last'"


def runs_on(pid: int) -> bool:
    """Whether a process is there, and has not ended."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


# --- one run ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_processes")
def test_a_process_answers_until_a_run_ends_it() -> None:
    with model_runs.model_runs() as runs:
        [first] = runs(identity("float[N]"), CALL, ["y"])
        assert first.tolist() == [0, 0, 0]
        pid = runs.pid
        with pytest.raises(RunError, match=r"INVALID_ARGUMENT.*Got: 1 Expected: 2") as raised:
            runs(identity("float[N,M]"), CALL, ["y"])
        assert type(raised.value) is RunError
        assert runs.pid == pid
        os.kill(pid, signal.SIGSEGV)
        with pytest.raises(DeadRunError, match="the process ended with signal 11"):
            runs(identity("float[N]"), CALL, ["y"])
        assert runs(identity("float[N]"), CALL, ["y"])[0].tolist() == [0, 0, 0]
        assert runs.pid not in (0, pid)
        last = runs.pid
    assert runs.pid == 0
    assert not runs_on(last)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("float16[N]", np.ones(2, np.float16)),
        ("int64[N]", np.arange(3)),
        ("bool", np.array(True)),
        ("string[N]", np.array(["a", "bc"], object)),
        ("double[N,2]", np.zeros((0, 2))),
        ("seq(float[N])", [np.zeros(2, np.float32), np.ones(3, np.float32)]),
    ],
)
def test_what_comes_back_is_what_it_is_here(kind: str, given: object) -> None:
    feeds: dict[str, Any] = {"x": given}
    with optimizer.model_runs() as runs:
        [there], [here] = (run(identity(kind), feeds, ["y"]) for run in (runs, run_here))
    assert type(there) is type(here)
    pairs = ([each] if isinstance(each, np.ndarray) else each for each in (there, here))
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == other.shape


def test_too_large_an_answer_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_runs, "LARGEST", 1000)
    with optimizer.model_runs() as runs, pytest.raises(DeadRunError, match="gave more than the 1000 bytes"):
        runs(identity("float[N]"), {"x": np.zeros(1000, np.float32)}, ["y"])


@pytest.mark.parametrize("answer", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_answer_is_an_error(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By then the process may be any program."""
    with optimizer.model_runs() as runs:
        monkeypatch.setattr(runs._conversation, "ask", lambda *_: (answer, ""))
        with pytest.raises(DeadRunError, match="gave no results that can be read"):
            runs(identity("float[N]"), CALL, ["y"])
