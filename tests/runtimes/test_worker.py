"""What a process that ran a model leaves is read as if anybody had written it."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import Case
from rnn_export.errors import BundleError
from rnn_export.runtimes import worker
from rnn_export.runtimes.worker import check_results, read_results
from rnn_export.verification.verify import VerificationReport
from tests.support.paths import ARTIFACTS

BUNDLE = Bundle.open(ARTIFACTS / "rnn_scratch")
CASES = BUNDLE.cases[:2]


def described(shape: str) -> bytes:
    """Give an array's file that says it is larger than it is."""
    stream = io.BytesIO()
    np.save(stream, np.zeros(4, np.float32))
    return stream.getvalue().replace(b"(4,), }", shape.encode())


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(100 << 20))


def pickled(path: Path) -> None:
    np.savez(path, **{worker.ERRORS: np.array([{}], object)})


def larger(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", described("(1<<60,), }"))


def short(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", described("(900,), }"))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (bomb, "the results: expected at most .* bytes, got 104857600"),
        (pickled, "no results that can be read: .*allow_pickle=False"),
        (larger, "no results that can be read"),
        (short, "no results that can be read"),
        (lambda path: path.write_bytes(b"PK"), "no results that can be read"),
        (lambda path: np.savez(path, a=np.zeros(1)), "no results that can be read: KeyError"),
        (lambda path: np.savez(path, errors="[" * 100_000), "no results that can be read: RecursionError"),
        (lambda path: np.savez(path, errors='{"a": 1}'), "the results, a field: Expected `str`, got `int`"),
    ],
)
def test_odd_results_are_refused(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    write(tmp_path / "results.npz")
    with pytest.raises(BundleError, match=message):
        read_results((tmp_path / "results.npz").read_bytes(), CASES)


def test_right_results_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "results.npz", errors=json.dumps({"a": "b"}), x=np.ones(3))
    assert read_results((tmp_path / "results.npz").read_bytes(), CASES)["x"].sum() == 3


def test_results_of_another_shape_are_not_handed_on() -> None:
    case: Case = CASES[0]
    check_results(case.float32, case)
    with pytest.raises(BundleError, match=r"results of the file: expected \[.*\], got \[.*\]. Export"):
        check_results([case.float32[0].repeat(2), *case.float32[1:]], case)
    with pytest.raises(BundleError, match="results of the file"):
        check_results(case.float32[:1], case)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"checks": [{"file": "model.pt"}]},
            "verification, a field: Object missing required field `runtime`",
        ),
        ({"grid": {"time": ["a"]}}, "Expected `int`, got `str`"),
        (
            {"checks": [{"file": "a", "runtime": "b", "verdict": "passed"}]},
            "expected runtimes of .*, got {'b'}",
        ),
    ],
)
def test_an_odd_report_is_refused(change: dict[str, object], message: str) -> None:
    verification = {**BUNDLE.manifest.verification, **change}
    with pytest.raises(BundleError, match=message):
        VerificationReport.stored(replace(BUNDLE.manifest, verification=verification))


def test_a_report_is_read_as_it_was_written() -> None:
    report = VerificationReport.stored(BUNDLE.manifest)
    assert report.to_json() == BUNDLE.manifest.verification
