"""Sizes of a file's inputs that have to be equal are found by trying, whatever they are called."""

from collections.abc import Iterator

import onnx
import onnx_ir as ir
import pytest

from rnn_export.program.program import AS_ASKED, Program, Sampling
from rnn_export.program.session import running
from rnn_export.runtimes.model_runs import model_runs
from rnn_export.runtimes.sample_calls import told_apart, trial_of
from tests.support import loops
from tests.support.foreign_loops import FOREIGN

CALLS = ((1, 1), (5, 3))
SUM = "a = Add (x, h) y = Tanh (a) last = Neg (h)"
COUNTED = loops.model(
    loops.loop(loops.STEP, trips="n"),
    "net (float[T,B,3] x, float[B,3] h, int64 n) => (float[N,B,3] y, float[B,3] last)",
)


@pytest.fixture(autouse=True)
def elsewhere() -> Iterator[None]:
    with model_runs() as runs, running(runs):
        yield


def sizes(program: Program) -> list[list[str | int]]:
    return [
        [size if isinstance(size, int) else str(size.value) for size in value.shape or ()]
        for value in program.model.graph.inputs
    ]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("float[T,B,3] x, float[B,3] h", [["T", "B", 3], ["B", 3]]),  # as it is declared
        ("float[N,N,3] x, float[N,3] h", [["N", "N_", 3], ["N_", 3]]),  # one name for all
        ("float[a,b,3] x, float[c,3] h", [["a", "b", 3], ["b", 3]]),  # a name for each
        ("float[?,?,3] x, float[?,3] h", [["axis 0 of x", "axis 1 of x", 3], ["axis 1 of x", 3]]),
        ("float[5,B,3] x, float[A,3] h", [[5, "B", 3], ["B", 3]]),
    ],
)
def test_sizes_have_one_name_if_they_have_to_be_equal(call: str, expected: list[list[str | int]]) -> None:
    model = loops.model(SUM, f"net ({call}) => (float[Y,Z,3] y, float[L,3] last)")
    assert sizes(told_apart(Program(ir.from_proto(model)))) == expected


def test_sizes_that_nothing_binds_stay_as_they_are_declared() -> None:
    model = loops.model("y = Neg (x) last = Neg (h)", loops.CALL.replace("float[B,3] h", "float[H,3] h"))
    given = Program(ir.from_proto(model))
    assert told_apart(given) is given


def test_a_file_that_cannot_be_run_stays_as_it_is() -> None:
    model = loops.model(
        "far = Constant <value = int64 {100}> () v = Gather (x, far) y = Add (x, v) last = Neg (h)"
    )
    given = Program(ir.from_proto(model))
    apart, sampling, reason = trial_of(given, CALLS)
    assert apart is given
    assert sampling is AS_ASKED
    assert reason.startswith("it cannot be run on random inputs of 1 time steps and 1 rows: ")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (loops.FOLDS["a scan output"], AS_ASKED),
        (COUNTED, Sampling(fewer=1)),  # a number of time steps
        (FOREIGN["a while of JAX"], Sampling(more=(7, 0))),  # six time steps
    ],
)
def test_calls_are_as_large_as_it_takes(model: onnx.ModelProto, expected: Sampling) -> None:
    assert trial_of(Program(ir.from_proto(model)), CALLS)[1:] == (expected, "")
