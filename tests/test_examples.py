"""scripts/examples.py believes no ci.sh: neither an exit status alone, nor one that passes anything."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT

GOLDEN = "rnn: 60 vectors whole, 30 streamed, worst error 2.1e-08 (27% of allowed), 0.69 us per step"
# A ci.sh that tells right bundles from wrong ones, by the name of their folder here.
CAREFUL = "case $1 in */wrong) echo 'rnn: T1: outputs[0]: off by 1e-3' >&2; exit 1;; esac; "


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.delenv("CI", raising=False)
    module = importlib.import_module("examples")
    monkeypatch.setattr(module, "EXAMPLES", tmp_path)
    return module


def write(folder: Path, script: str) -> None:
    (folder / "host").mkdir()
    (folder / "host" / "ci.sh").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "host" / "ci.sh").chmod(0o755)


def printed(*lines: str) -> str:
    return "\n".join(f"echo '{line}'" for line in lines)


@pytest.mark.parametrize(
    ("script", "verdict", "problem"),
    [
        (CAREFUL + printed("built with: cc 1", GOLDEN, "text: The end"), "passed", ""),
        ("exit 0", "failed", "no golden vectors of rnn"),
        (CAREFUL + printed(GOLDEN.replace("60", "0"), "text: The end"), "failed", "no vectors were run"),
        (CAREFUL + printed(GOLDEN, "text: The other"), "failed", "expected the text 'The end"),
        (printed(GOLDEN, "text: The end"), "failed", "passes bundles whose golden vectors were changed"),
        (
            "case $1 in */wrong) exit 3;; esac; " + printed(GOLDEN, "text: The end"),
            "failed",
            "fails for another",
        ),
        ("echo oh >&2; exit 1", "failed", "exits with 1:\noh"),
        ("echo 'not checked: needs go' >&2; exit 77", "not checked", "needs go"),
    ],
)
def test_what_is_believed(
    script: str, verdict: str, problem: str, examples: ModuleType, tmp_path: Path
) -> None:
    write(tmp_path, script)
    outcome = examples.check("host", ["rnn"], "The end\n", Path("wrong").absolute())
    assert outcome.verdict == verdict
    assert problem in "".join(outcome.problems)
    assert bool(outcome.problems) == (verdict != "passed")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("case $1 in */tampered) echo 'off by 1e-3'; exit 1;; esac; " + printed(GOLDEN), ""),
        (printed(GOLDEN) + "; exit 1", "exits with 1:\nrnn: 60 vectors"),
        (printed("other" + GOLDEN), "exits with 0:\nother"),
        (printed(GOLDEN), "passes bundles whose golden vectors were changed"),
    ],
)
def test_a_net_of_several_inputs_has_to_run(
    script: str, problem: str, examples: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scaffold(bundles: list[Path], host: str, folder: Path) -> Path:
        folder.parent.mkdir()
        write(folder.parent, script)
        return folder

    def tamper(bundles: list[Path], folder: Path) -> None:
        folder.mkdir()

    monkeypatch.setattr(examples.rnn_export, "scaffold", scaffold)
    monkeypatch.setattr(examples, "tamper", tamper)
    problems = list(examples.check_several("host", Path("rnn"), tmp_path / "new"))
    assert bool(problems) == bool(problem)
    assert problem in "".join(problems)


def test_a_missing_toolchain_is_a_failure_in_ci(
    examples: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    write(tmp_path, "exit 77")
    assert examples.check("host", ["rnn"], "The end\n", tmp_path).verdict == "failed"


def test_the_table_has_a_row_for_each_runtime(examples: ModuleType) -> None:
    lines = [GOLDEN, GOLDEN.replace("rnn:", "rnn (c):"), GOLDEN.replace("rnn:", "rnn_scratch (c):")]
    lines.append(lines[-1].replace("(c)", "(a-board)").replace("0.69 us", "6908 instructions"))
    found = list(examples.GOLDEN.finditer("\n".join(lines)))
    table = examples.table([examples.Outcome("host", "passed", golden=found)])
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert columns["Host"] == ["host", "host (c)", "host (a-board)"]
    assert columns["Vectors"] == ["60", "120", "60"]
    assert columns["Worst error"] == ["2.1e-08"] * 3
    assert columns["us/step"] == ["", "0.69", ""]


def test_every_example_is_run(examples: ModuleType) -> None:
    assert {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()} == {*examples.PACKAGES}
