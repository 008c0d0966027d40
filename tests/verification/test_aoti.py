"""``rnn-export compile --aoti``: a package of AOTInductor, compared with eager before it is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._inductor import aoti_load_package
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler
from torch.export import ExportedProgram
from typer.testing import CliRunner

import rnn_export
from rnn_export.bundle.layout import MODEL_PT2
from rnn_export.cli.main import app
from rnn_export.errors import BuildError, RuntimeUnavailableError, VerificationError
from rnn_export.runtimes import aoti, torch_export
from rnn_export.signature.signature import Call, Signature
from rnn_export.verification.aoti import ship_aoti
from rnn_export.verification.compare import PASSED
from tests.support.cases import CASES
from tests.support.exports import Exported
from tests.support.paths import ROOT

SCRATCH = ROOT / "artifacts" / "rnn_scratch"  # without model.pt2
Build = Callable[[ExportedProgram, Signature, Path], None]


@pytest.fixture
def bundle(exported: Exported) -> rnn_export.Bundle:
    return exported(next(case for case in CASES if case.name == "lstm"), pt2=True)


def kept(program: ExportedProgram, signature: Signature, target: Path) -> None:
    """Save a program where a compiler would write its package."""
    torch.export.save(program, target)


def loaded(package: Path, signature: Signature) -> Call:
    return torch_export.start(package, signature)


def test_what_agrees_is_written(
    bundle: rnn_export.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aoti, "build", kept)
    monkeypatch.setattr(aoti, "start", loaded)
    done = CliRunner().invoke(app, ["compile", str(bundle.folder), "--out", str(tmp_path / "lib"), "--aoti"])
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "passed in AOTInductor: " in text
    assert "torch._inductor.aoti_load_package(" in text
    assert [path.name for path in (tmp_path / "lib").iterdir()] == ["lstm_aoti.pt2"]


def test_what_disagrees_is_not_written(
    bundle: rnn_export.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(package: Path, signature: Signature) -> Call:
        right = loaded(package, signature)
        return lambda *arguments: [result * 1.001 for result in right(*arguments)]

    monkeypatch.setattr(aoti, "build", kept)
    monkeypatch.setattr(aoti, "start", wrong)
    with pytest.raises(VerificationError, match=r"lstm_aoti.pt2 does not agree .* Nothing was written"):
        ship_aoti(bundle.folder, tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (
            InvalidCxxCompiler(),
            RuntimeUnavailableError,
            r"finds no C\+\+ compiler. Install g\+\+, or set CXX",
        ),
        (RuntimeError("no such node\nat"), BuildError, r"compile lstm_aoti.pt2: no such node\. Use another"),
        (CppCompileError(["g++"], "a.cpp:1:2: error: buf10 again\n1 |"), BuildError, r": buf10 again\. Use"),
    ],
)
def test_what_cannot_be_compiled_says_why(
    raised: Exception,
    kind: type[Exception],
    words: str,
    bundle: rnn_export.Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(program: ExportedProgram, **_: Any) -> None:
        assert program.example_inputs[0][0].shape[:2] == (3, 4)
        raise raised

    monkeypatch.setattr(aoti, "aoti_compile_and_package", fail)
    with pytest.raises(kind, match=words):
        ship_aoti(bundle.folder, tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


def test_a_bundle_without_it_says_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["compile", str(SCRATCH), "--out", str(tmp_path / "lib"), "--aoti"])
    assert done.exit_code == 1
    assert f"has no {MODEL_PT2}: export it with pt2=True (--pt2)" in " ".join(done.output.split())


def test_it_is_for_this_processor(tmp_path: Path) -> None:
    line = ["compile", str(SCRATCH), "--out", str(tmp_path), "--aoti", "--march", "native"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 2
    text = " ".join(done.output.replace("│", " ").split())
    assert "expected no --march beside --aoti, got native: PyTorch compiles for this processor" in text


@pytest.mark.exhaustive
@pytest.mark.needs("g++")
@pytest.mark.parametrize("lengths", [False, True])
def test_pytorch_runs_the_package_with_any_sizes(exported: Exported, lengths: bool, tmp_path: Path) -> None:
    options = {"pt2": True, **({"lengths": True} if lengths else {})}
    bundle = exported(next(case for case in CASES if case.name == "lstm"), **options)
    package, check = ship_aoti(bundle.folder, tmp_path)
    assert check.verdict == PASSED
    run, right = aoti_load_package(str(package)), rnn_export.load(bundle.folder, "torch_export")
    for time, batch in ((1, 1), (40, 3)):
        x = np.random.default_rng(0).standard_normal((time, batch, 4)).astype(np.float32)
        counts = [np.full(batch, time)] if lengths else []
        state = bundle.signature.initial_state(batch)
        outputs, *_ = run(*map(torch.from_numpy, (x, *state, *counts)))
        np.testing.assert_allclose(outputs.numpy(), right(x)[0], atol=1e-5)
