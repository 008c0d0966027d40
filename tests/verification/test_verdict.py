"""What is said of a bundle in one sentence: which files agree, which were not checked, what was asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import rnn_export
from rnn_export.cli.main import app
from rnn_export.cli.terminal import show
from rnn_export.errors import InputError, RuntimeUnavailableError, VerificationError
from rnn_export.models import RNNScratch
from rnn_export.verification.compare import FAILED, NOT_CHECKED, PASSED, Check, Curve
from rnn_export.verification.verdict import demanded
from rnn_export.verification.verify import VerificationReport
from tests.support.paths import ROOT

BUNDLE = ROOT / "artifacts" / "rnn_scratch"
ONNX = Check("model.onnx", "onnxruntime", PASSED)
PT = Check("model.pt", "torchscript", PASSED)
C = Check("model.c", "c", PASSED)
NO_COMPILER = "no C compiler (cc, gcc, clang, or what CC names). Install one, or set CC."
NO_C = Check("model.c", "c", NOT_CHECKED, detail=NO_COMPILER)
WRONG = Check("model.onnx", "onnxruntime", FAILED, detail="T1_B1 whole: outputs at time 0: expected 1, got 2")
REFERENCE = Check("model.onnx", "reference", NOT_CHECKED, detail="onnx is not installed")
LOOP = replace(ONNX, file="loop.onnx")
LEFT_OUT = "model.c: Gelu has no C"


def report(*checks: Check, left_out: tuple[str, ...] = (), require: str = "") -> VerificationReport:
    grid = {"time": [1], "batch": [1]}
    made = VerificationReport("net", checks, grid, None, Curve((), (), ()), left_out=left_out)
    return made.requiring(demanded(require))


SAID = {
    "all": (report(ONNX, PT, C), True, "every file agrees with eager PyTorch"),
    "no compiler": (
        report(ONNX, PT, NO_C),
        True,
        "2 files agree with eager PyTorch; "
        "model.c was not checked: no C compiler (cc, gcc, clang, or what CC names)",
    ),
    "without C": (
        report(ONNX, PT, left_out=("model.c: it was not asked for",)),
        True,
        "every file agrees with eager PyTorch; model.c was not asked for",
    ),
    "one of two runtimes": (
        report(ONNX, REFERENCE),
        True,
        "every file agrees with eager PyTorch; "
        "model.onnx was not checked in reference: onnx is not installed",
    ),
    "several in one": (
        report(ONNX, REFERENCE, LOOP, replace(REFERENCE, file="loop.onnx")),
        True,
        "eager PyTorch; model.onnx, loop.onnx were not checked in reference: onnx is not installed",
    ),
    "wrong": (report(WRONG, PT, NO_C), False, "verification failed: model.onnx in onnxruntime; model.c was"),
    "nothing ran it": (report(REFERENCE), False, "verification failed: model.onnx was not checked: onnx is"),
    "required, there": (report(ONNX, C, require="c,onnx"), True, "every file agrees with eager PyTorch"),
    "required, not checked": (
        report(ONNX, NO_C, require="c,onnx"),
        False,
        "verification failed: c is required; model.c was not checked: no C compiler",
    ),
    "required, left out": (
        report(ONNX, left_out=(LEFT_OUT,), require="c"),
        False,
        "verification failed: c is required: model.c was left out: Gelu has no C",
    ),
    "required runtime": (report(ONNX, REFERENCE, require="reference"), False, "reference is required; model"),
    "required, never there": (report(ONNX, require="pt"), False, "pt is required: there is no model.pt"),
}


@pytest.mark.parametrize(("made", "passed", "words"), SAID.values(), ids=SAID)
def test_a_verdict_names_what_was_not_checked(made: VerificationReport, passed: bool, words: str) -> None:
    assert made.passed == passed
    assert words in made.verdict


@pytest.mark.parametrize(
    "made", [SAID["no compiler"][0], SAID["required, not checked"][0]], ids=["", "asked"]
)
def test_the_last_line_of_the_terminal_is_the_verdict(
    made: VerificationReport, capsys: pytest.CaptureFixture[str]
) -> None:
    show(made, Path("bundles/net"))
    assert capsys.readouterr().out.splitlines()[-1] == f"bundles/net: {made.verdict}"


def test_a_file_that_was_left_out_is_a_warning_that_names_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(report(ONNX, left_out=(LEFT_OUT + "\n  of layer 7",)), Path("net"))
    shown = capsys.readouterr().out
    assert f"warning: left out: {LEFT_OUT}\n" in shown
    assert "rnn-export inspect net" in shown


def test_what_is_asked_for_is_named_as_runtimes_and_endings_are() -> None:
    assert demanded("c, onnx") == demanded(["c", "onnx"]) == ("c", "onnx")
    assert demanded(()) == demanded("") == ()
    with pytest.raises(
        InputError, match=r"require: expected some of onnx, pt, pt2, c, .*, got 'onxn'. Did you"
    ):
        demanded("onxn")


def test_an_export_that_could_not_be_checked_ends_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(RuntimeUnavailableError, match=r"require: 'c' cannot be checked: no C compiler"):
        rnn_export.export(RNNScratch(2, 3, 1), torch.zeros(4, 2, 2), tmp_path / "net", require=["c"])
    assert not list(tmp_path.iterdir())


def test_verify_fails_where_a_required_file_was_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    without = [Check("model.c", "c", NOT_CHECKED, detail=NO_COMPILER), ONNX, PT]
    monkeypatch.setattr("rnn_export.verification.verify.check_bundle", lambda *_: report(*without))
    assert rnn_export.verify(BUNDLE).passed
    assert not rnn_export.verify(BUNDLE, require="c").passed
    ended = CliRunner().invoke(app, ["verify", str(BUNDLE), "--require", "onnx,c"])
    assert ended.exit_code == 1
    assert "verification failed: c is required; model.c was not checked: no C compiler" in ended.stdout
    assert CliRunner().invoke(app, ["verify", str(BUNDLE), "--require", "onnx,pt"]).exit_code == 0


def test_an_export_without_what_is_required_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnn_export.verification.choose import check_demand

    with pytest.raises(
        VerificationError, match=r"c is required: model.c was left out.*\. Nothing was written"
    ):
        check_demand(report(ONNX, left_out=(LEFT_OUT,)), ("c",))
    check_demand(report(ONNX, C), ("c",))
