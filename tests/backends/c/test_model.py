"""The C backend: every net as C, equal to eager, and the same bits however rows and time steps are cut."""

from pathlib import Path

import numpy as np
import pytest

import rnn_export
from rnn_export.errors import InputError
from rnn_export.runtimes.compiler import compiler
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.signature import Call
from rnn_export.signature.tensors import Array
from rnn_export.verification.verify import PASSED, VerificationReport
from rnn_export.workers import CRASHED
from tests.support.cases import CALL_CASES, CASES, COMPILED, NO_C, CallCase, ModelCase, each_compiled
from tests.support.exports import Exported

pytestmark = [
    pytest.mark.needs((compiler() or ["cc"])[0]),
    pytest.mark.filterwarnings("ignore:LSTM with projections"),  # said by torch.nn itself
]


@each_compiled
def test_c_is_verified(case: ModelCase | CallCase, exported: Exported) -> None:
    report = VerificationReport.stored(exported(case).manifest)
    assert not [reason for reason in report.left_out if reason.startswith("model.c")]
    [check] = [check for check in report.checks if check.file == "model.c"]
    assert check.runtime == "c"
    assert check.verdict == PASSED


@pytest.mark.parametrize("case", [*CASES, *CALL_CASES], ids=lambda case: case.name)
def test_no_file_of_any_case_crashes(case: ModelCase | CallCase, exported: Exported) -> None:
    report = VerificationReport.stored(exported(case).manifest)
    said = [*report.left_out, *(check.detail for check in report.checks)]
    assert not [reason for reason in said if reason and CRASHED in reason]


@pytest.mark.parametrize(
    "case", [case for case in [*CASES, *CALL_CASES] if case.name in NO_C], ids=lambda case: case.name
)
def test_a_net_that_c_cannot_have_says_why(case: ModelCase | CallCase, exported: Exported) -> None:
    bundle = exported(case)
    assert not {"model.c", "model.h"} & set(bundle.manifest.files)
    [reason] = [
        reason
        for reason in VerificationReport.stored(bundle.manifest).left_out
        if reason.startswith("model.c: ")
    ]
    assert NO_C[case.name] in reason


def drawn(bundle: rnn_export.Bundle, time: int, batch: int) -> tuple[Array, tuple[Array, ...]]:
    """Draw a call like those of the golden vectors, of another size."""
    case = next(case for case in bundle.cases if case.name.endswith("_B5_random"))
    random = np.random.default_rng(3)

    def like(sample: Array, shape: tuple[int, ...]) -> Array:
        return random.choice(sample.ravel(), shape).astype(sample.dtype)

    signature = bundle.signature
    inputs = like(case.inputs[0], signature.inputs[0].sized(time=time, batch=batch))
    leaves = zip(case.state, signature.state, strict=True)
    return inputs, tuple(like(sample, leaf.sized(batch=batch)) for sample, leaf in leaves)


@each_compiled
def test_a_row_gives_the_same_bits_in_any_batch(case: ModelCase | CallCase, exported: Exported) -> None:
    bundle = exported(case)
    runner = rnn_export.load(bundle.folder, runtime="c")
    inputs, state = drawn(bundle, 5, 71)
    given = state if bundle.signature.streamable else None
    outputs, after = runner(inputs, given)
    specs = bundle.signature
    for rows in (slice(0, 1), slice(70, 71), slice(3, 9)):
        part = [
            np.take(value, range(71)[rows], spec.batch_axis)
            for value, spec in zip((inputs, *state), specs.arguments, strict=True)
        ]
        alone, last = runner(part[0], None if given is None else tuple(part[1:]))
        for whole, one, spec in zip((outputs, *after), (alone, *last), specs.results, strict=True):
            assert np.take(whole, range(71)[rows], spec.batch_axis).tobytes() == one.tobytes()


@each_compiled
def test_a_sequence_gives_the_same_bits_wherever_it_is_cut(
    case: ModelCase | CallCase, exported: Exported
) -> None:
    bundle = exported(case)
    if not bundle.signature.streamable:
        pytest.skip("whole sequences only")
    runner = rnn_export.load(bundle.folder, runtime="c")
    inputs, state = drawn(bundle, 80, 3)
    outputs, after = runner(inputs, state)
    parts = []
    for piece in (slice(0, 1), slice(1, 67), slice(67, 80)):
        part, state = runner(bundle.signature.inputs[0].cut(inputs, piece), state)
        parts.append(part)
    axis = bundle.signature.outputs[0].time_axis
    joined = parts[-1] if axis is None else np.concatenate(parts, axis)
    assert joined.tobytes() == outputs.tobytes()
    for one, other in zip(state, after, strict=True):
        assert one.tobytes() == other.tobytes()


def test_without_a_compiler_c_is_not_checked(
    rnn: ModelCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle")
    report = VerificationReport.stored(bundle.manifest)
    [check] = [check for check in report.checks if check.file == "model.c"]
    assert check.verdict == "not checked"
    assert "no C compiler (cc, gcc, clang, or what CC names)" in check.detail
    assert report.passed


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["lstm", "deep_bidirectional", "classifier"])
def test_rows_may_end_apart(name: str, exported_ragged: Exported) -> None:
    bundle = exported_ragged(next(case for case in COMPILED if case.name == name))
    report = VerificationReport.stored(bundle.manifest)
    assert [check.verdict for check in report.checks if check.file == "model.c"] == [PASSED]
    assert "const int64_t *lengths" in (bundle.folder / "model.h").read_text()


@pytest.fixture(scope="module")
def lstm_call(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Give a net of two leaves that takes lengths, as a runtime calls it: 4 inputs, 6 units."""
    case = next(case for case in COMPILED if case.name == "lstm")
    folder = tmp_path_factory.mktemp("lengths") / "bundle"
    bundle = rnn_export.export(*case.build(), folder, lengths=True)
    return RUNTIMES["c"].start(folder / "model.c", bundle.signature)


def arguments(**changed: Array) -> list[Array]:
    random = np.random.default_rng(0)
    leaves = {name: random.random(shape, np.float32) for name, shape in LSTM.items()}
    return list({**leaves, "lengths": np.array([3, 0]), **changed}.values())


LSTM = {"inputs": (3, 2, 4), "H": (2, 6), "C": (2, 6)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": np.zeros((3, 2, 5), np.float32)}, r"expected float32 \[time, batch, 4\]"),
        ({"inputs": np.zeros((3, 2, 4))}, "Convert it to float32"),
        ({"inputs": np.zeros((3, 2), np.float32)}, r"got float32 \[3, 2\]"),
        ({"C": np.zeros((1, 6), np.float32)}, "The state is made for the batch of the inputs"),
        ({"H": np.zeros((2, 6), ">f4")}, "Convert it to float32"),
        ({"lengths": np.array([3])}, r"expected int64 \[batch=2\]"),
        ({"lengths": np.array([4, 0])}, "expected numbers of time steps from 0 to 3"),
        ({"lengths": np.array([-1, 0])}, "expected numbers of time steps from 0 to 3"),
        ({"more": np.zeros((2, 6), np.float32)}, "expected 2 tensors"),
    ],
)
def test_c_is_never_called_with_arrays_that_it_would_read_past(
    lstm_call: Call, changed: dict[str, Array], message: str
) -> None:
    lstm_call(*arguments())  # what is right is remembered, and what is wrong is not taken for it
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            lstm_call(*arguments(**changed))


def test_a_call_without_its_lengths_is_refused(lstm_call: Call) -> None:
    with pytest.raises(InputError, match="expected 2 tensors"):
        lstm_call(*arguments()[:-1])


@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_arrays_may_be_read_only_or_have_gaps(name: str, exported: Exported) -> None:
    bundle = exported(next(case for case in COMPILED if case.name == name))
    call = RUNTIMES["c"].start(bundle.folder / "model.c", bundle.signature)
    inputs, state = drawn(bundle, 4, 3)
    expected = call(inputs, *state)
    locked = [array.copy() for array in (inputs, *state)]
    for array in locked:
        array.flags.writeable = False
    gapped = [np.repeat(array, 2, 0)[::2] for array in (inputs, *state)]
    for given in (locked, gapped):
        for one, other in zip(call(*given), expected, strict=True):
            assert one.tobytes() == other.tobytes()
    for array, sample in zip((inputs, *state), locked, strict=True):
        assert array.tobytes() == sample.tobytes()
