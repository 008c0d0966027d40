"""The programs of a page for a bundle with several inputs and outputs run as they stand."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import rnn_export
from rnn_export.report.calls import snippets
from rnn_export.runtimes.compiler import compiler
from tests.support.general_calls import GENERAL
from tests.support.report_pages import COMPILERS, built_and_run

NAMES = ("outputs_0", "outputs_1")


@pytest.mark.exhaustive
@pytest.mark.needs((compiler() or ["cc"])[0])
@pytest.mark.parametrize(
    ("name", "shapes"),
    [("an agent", ((2, 3), (2,))), ("a decoder with attention", ((5,), (3,)))],  # behind the time steps
)
def test_programs_of_several_inputs_and_outputs_run(
    name: str,
    shapes: tuple[tuple[int, ...], ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.manual_seed(0)
    call = GENERAL[name]
    bundle = rnn_export.export(call.make().eval(), call.draw(7, 3, 5), tmp_path / "agent")
    monkeypatch.chdir(tmp_path)
    programs = {snippet.file: snippet.code for snippet in snippets(bundle)}
    for file in ("call.py", "call_onnxruntime.py"):
        exec(compile(programs[file], file, "exec"), {})
    shown, more = capsys.readouterr().out.splitlines()
    front = (lambda steps: (steps,)) if name == "an agent" else (lambda steps: (2, steps))
    whole, step = ([front(steps) + shape for shape in shapes] for steps in (5, 1))
    assert shown == " ".join(str(dict(zip(NAMES, each, strict=True))) for each in (whole, step))
    assert more == " ".join(map(str, (*whole, *step)))
    (tmp_path / "call.c").write_text(programs["call.c"])
    strict = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    sources = ["call.c", "agent/model.c"]
    subprocess.run([*(compiler() or []), "-O1", *strict, "-Iagent", *sources, "-o", "call"], check=True)
    printed = subprocess.run(["./call"], capture_output=True, text=True, check=True).stdout.split()
    assert len(printed) == 2
    for file, tool in COMPILERS.items():
        if shutil.which(tool):
            assert [*map(float, built_and_run(bundle, file, tmp_path))] == pytest.approx(
                [*map(float, printed)]
            )
