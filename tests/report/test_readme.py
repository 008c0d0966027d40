"""The README of a bundle: what the call takes and gives, how to run it, and that names are only text."""

import dataclasses
import re
from pathlib import Path

import pytest

from rnn_export.bundle.bundle import Bundle
from rnn_export.report.page import PAGES, README
from rnn_export.report.readme import render_readme
from rnn_export.verification.verify import VerificationReport
from tests.support.cases import ModelCase, each_case
from tests.support.exports import Exported

HOSTILE = "a `b` | <script>\n# c [d](e)"


def programs(text: str, language: str) -> list[str]:
    """Give the blocks of code of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@each_case
def test_every_bundle_explains_itself(case: ModelCase, exported: Exported) -> None:
    bundle = exported(case)
    text = (bundle.folder / README).read_text(encoding="utf-8")
    assert text == render_readme(Bundle.open(bundle.folder)), "no time, no name of a machine or folder"
    assert VerificationReport.stored(bundle.manifest).verdict in text.replace("\\", "")
    for spec in (*bundle.signature.arguments, *bundle.signature.outputs):
        assert f"`{spec.name}`" in text
    for file in {*bundle.manifest.files} - PAGES:
        assert f"| `{file}` |" in text
    assert len(programs(text, "c")) == ("model.c" in bundle.manifest.files)
    assert f"rnn-export verify {bundle.manifest.name}" in text


def test_its_first_program_runs(
    rnn: ModelCase, exported: Exported, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = exported(rnn)
    monkeypatch.chdir(bundle.folder.parent)
    for program in programs((bundle.folder / README).read_text(encoding="utf-8"), "python"):
        exec(compile(program, "call.py", "exec"), {})
    assert capsys.readouterr().out == "(5, 2, 3) (1, 2, 3)\n" * 2


def test_names_of_others_are_only_text(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    bundle = exported(rnn)
    model = {**bundle.manifest.model, "class": HOSTILE}
    named = dataclasses.replace(
        bundle, manifest=dataclasses.replace(bundle.manifest, name=HOSTILE, model=model)
    )
    first, _, second, *_ = render_readme(named).splitlines()
    assert first == r"# a \`b\` \| \<script\> \# c \[d\](e)"
    assert second.startswith("`a 'b' / <script> # c [d](e)`, a recurrent")
