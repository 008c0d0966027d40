"""What tries mutants tells of the ones that broke something, and goes on behind them."""

from pathlib import Path

import pytest

from tests.support.paths import ROOT
from trials import BrokenPromiseError, workers

ATTEMPT = "import os, time\nfrom rnn_export.errors import BundleError, PassError\ndef attempt(number):\n"


def tried(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "spoiling.py").write_text(f"{ATTEMPT}    {body}\n")
    root = ROOT
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    return workers.tried("spoiling", 4, 0.5, "things")


def test_figures_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "if number == 1: raise BundleError('no')\n    return 'taken'"
    assert tried(body, tmp_path, monkeypatch) == "4 things: 3 taken, 1 BundleError; slowest 0.00 s, no crash"


SLOW = "end = time.process_time() + number / 3\n    while time.process_time() < end: pass\n    return 'taken'"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "if number in (1, 3): os.abort()\n    return ''",
            r"2 of 4 mutants \(1, 3\): the first crashed .*-6",
        ),
        ("return {}[number]", r"4 of 4 mutants .* the first untyped .*KeyError"),
        ("raise PassError('a bug')", r"4 of 4 mutants .* the first untyped .*PassError: a bug"),
        ("os._exit(0)", r"4 of 4 mutants .* the first crashed .* status 0"),
        (SLOW, r"2 of 4 mutants \(2, 3\): the first taken after 0\.\d\d s.*See it again: .* spoiling 2 3"),
        ("time.sleep(60 * (number == 2))\n    return ''", r"1 of 4 mutants \(2\): the first crashed .* -9"),
    ],
)
@pytest.mark.exhaustive
def test_a_broken_promise_is_told(
    body: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "HANGS", 10.0)
    with pytest.raises(BrokenPromiseError, match=f"(?s){message}"):
        tried(body, tmp_path, monkeypatch)
