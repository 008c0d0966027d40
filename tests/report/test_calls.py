"""The calls that the report shows run as they stand, and give what the bundle gives."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rnn_export
from rnn_export.bundle.bundle import Bundle
from rnn_export.report.calls import LANGUAGES, snippets
from rnn_export.runtimes.compiler import compiler
from rnn_export.signature.tensors import Array
from tests.support.cases import the
from tests.support.exports import Exported
from tests.support.report_pages import COMPILERS, built_and_run, page_of

NAMES = (
    "rnn",
    "char_rnn",
    "deep_mixed",
    "rnn_float64",
    "list_state",
    "layers_first",
    "starts_elsewhere",
    "tagger",
    "classifier",
    "bidirectional",
    "outputs_alone",
    "state_within",
)
RAGGED = "tagger_ragged"
each = pytest.mark.parametrize("name", [*NAMES, RAGGED])


@pytest.fixture
def bundle(
    name: str, exported: Exported, exported_ragged: Exported, monkeypatch: pytest.MonkeyPatch
) -> Bundle:
    """Give a case's bundle, with its folder in the current one, as a reader has it."""
    found = exported_ragged(the("tagger")) if name == RAGGED else exported(the(name))
    monkeypatch.chdir(found.folder.parent)
    return found


def expected(bundle: Bundle) -> list[Array]:
    """Give what the programs compute: outputs on zeros, and then those of one more time step."""
    signature = bundle.signature
    runner = rnn_export.load(bundle.folder)
    inputs = np.zeros(signature.inputs[0].sized(time=5, batch=2), signature.inputs[0].dtype)
    outputs, state = runner(inputs, lengths=np.array([5, 3]) if signature.lengths else None)
    if not signature.streamable:
        return [outputs]
    return [outputs, runner(signature.inputs[0].cut(inputs, slice(1)), state)[0]]


@each
@pytest.mark.parametrize("file", ["call.py", "call_onnxruntime.py"])
def test_python_runs(bundle: Bundle, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {}
    exec(compile(page_of(bundle).programs[file], file, "exec"), found)
    results = expected(bundle)
    for got, want in zip([found["outputs"], found.get("step")], results, strict=False):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert capsys.readouterr().out == " ".join(str(want.shape) for want in results) + "\n"


@pytest.mark.parametrize("name", ["rnn"])
def test_python_runs_in_a_process_of_its_own(bundle: Bundle, tmp_path: Path) -> None:
    program = tmp_path / "call.py"
    program.write_text(page_of(bundle).programs["call.py"])
    environment = {**os.environ, "PYTHONPATH": str(Path(rnn_export.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=True, env=environment
    )
    assert (done.stdout, done.stderr) == ("(5, 2, 3) (1, 2, 3)\n", "")


@pytest.mark.needs((compiler() or ["cc"])[0])
@each
def test_c_runs(bundle: Bundle, tmp_path: Path) -> None:
    page = page_of(bundle)
    if "model.c" not in bundle.manifest.files:
        assert "call.c" not in page.programs
        return
    (tmp_path / "call.c").write_text(page.programs["call.c"])
    strict = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    sources = [tmp_path / "call.c", bundle.folder / "model.c"]
    options = ["-O1", "-march=native", *strict, f"-I{bundle.folder.name}"]
    line = [*(compiler() or []), *options, *sources, "-o", tmp_path / "call"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    printed = subprocess.run([tmp_path / "call"], capture_output=True, text=True, check=True).stdout.split()
    first = [want.ravel()[0] for want in expected(bundle)]
    assert [float(text) for text in printed] == pytest.approx(first, rel=1e-4, abs=1e-6)


@pytest.mark.exhaustive
@pytest.mark.parametrize("file", COMPILERS)
@each
def test_the_other_languages_of_c_run(
    bundle: Bundle, file: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """They are built and run as the page says, in the folder that holds the bundle."""
    if "model.c" not in bundle.manifest.files:
        return
    request.applymarker(pytest.mark.needs(COMPILERS[file]))
    (tmp_path / bundle.manifest.name).symlink_to(bundle.folder)
    printed = built_and_run(bundle, file, tmp_path)
    first = [want.ravel()[0] for want in expected(bundle)]
    assert [float(text) for text in printed] == pytest.approx(first, rel=1e-4, abs=1e-6)


@pytest.mark.exhaustive
@pytest.mark.needs("c++")
def test_libtorch_runs(
    exported: Exported, exported_ragged: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All programs in one, so that its headers are read once."""
    bundles = [*(exported(the(name)) for name in NAMES), exported_ragged(the("tagger"))]
    programs = [page_of(bundle).programs["call_libtorch.cpp"] for bundle in bundles]
    include = re.compile(r"^#include .*\n", re.MULTILINE)
    text = "".join(dict.fromkeys(line for program in programs for line in include.findall(program)))
    for number, (bundle, program) in enumerate(zip(bundles, programs, strict=True)):
        body = include.sub("", program).replace(f'"{bundle.folder.name}/', f'"{bundle.folder}/')
        text += f"namespace n{number} {{\n{body.replace('int main()', 'void run()')}\n}}\n"
    calls = "".join(f"n{number}::run();" for number in range(len(bundles)))
    (tmp_path / "call.cpp").write_text(f"{text}int main() {{ {calls} }}\n")
    root = Path(torch.__file__).parent
    flags = [f"-isystem{root}/include", f"-isystem{root}/include/torch/csrc/api/include", f"-L{root}/lib"]
    libraries = ["-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{root}/lib"]
    line = [
        "c++",
        "-std=c++20",
        "-O0",
        "-Wall",
        *flags,
        tmp_path / "call.cpp",
        *libraries,
        "-o",
        tmp_path / "call",
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([tmp_path / "call"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    shapes = [list(want.shape) for bundle in bundles for want in expected(bundle)]
    assert ran.stdout.split("\n")[:-1] == [str(shape) for shape in shapes]


def test_names_of_the_module_are_no_words_of_the_programs(exported: Exported) -> None:
    bundle = exported(the("lstm"))
    signature = bundle.signature
    changed = replace(
        signature,
        inputs=tuple(replace(signature.inputs[0], name=name) for name in ("first", "class")),
        outputs=tuple(replace(signature.outputs[0], name=name) for name in ("outputs_0", "outputs_1")),
        state=tuple(
            replace(leaf, name=name) for leaf, name in zip(signature.state, ("state", "module"), strict=True)
        ),
        tree={"tuple": ["state", "module"]},
    )
    shown = snippets(replace(bundle, manifest=replace(bundle.manifest, signature=changed)))
    programs = {snippet.file: snippet.code for snippet in shown}
    assert "out_outputs_0, out_outputs_1, *new = session.run(" in programs["call_onnxruntime.py"]
    assert "print(out_outputs_0.shape, out_outputs_1.shape, step_" in programs["call_onnxruntime.py"]
    assert "torch::IValue state = tuple({state_state, state_module});" in programs["call_libtorch.cpp"]
    assert "module.forward({in_first, in_class, state});" in programs["call_libtorch.cpp"]
    assert "state = result.toTuple()->elements()[2];" in programs["call_libtorch.cpp"]
    assert "given.push_back(tensor(state_module, " in programs["call_onnxruntime.cpp"]
    assert "given[3] = std::move(results[3]);" in programs["call_onnxruntime.cpp"]
    assert '{ "first": in_first, "class": in_class, ...state }' in programs["call.mjs"]
    for file in ("call.py", "call_onnxruntime.py"):
        compile(programs[file], file, "exec")


@each
def test_each_program_has_its_file(bundle: Bundle) -> None:
    there = {language.template for language in LANGUAGES if language.file in bundle.manifest.files}
    assert {*page_of(bundle).programs} == there
