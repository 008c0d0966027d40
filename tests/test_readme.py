"""What the README shows is what comes out."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rnn_export
from rnn_export.scaffolding.scaffold import HOSTS
from tests.support.paths import ROOT
from tests.support.sources import sources

TEXT = (ROOT / "README.md").read_text()


def test_the_first_example_prints_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", TEXT, re.DOTALL).groups()
    monkeypatch.chdir(tmp_path)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert printed.getvalue() == output


def test_the_table_has_the_rows_that_verify_prints() -> None:
    """The measured errors differ between processors in the last bits; the rest may not differ."""
    command = [Path(sys.executable).with_name("rnn-export"), "verify", "artifacts/rnn_scratch"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    shown = re.search(r"`verify artifacts/rnn_scratch` prints:\n\n```\n(.*?)```", TEXT, re.DOTALL)[1]
    numbers = re.compile(r"\d\.\de-\d\d| *\d+%|left out: variants/operator.onnx in onnxruntime: .*")
    assert numbers.sub("#", printed) == numbers.sub("#", shown)


def test_the_generated_text_is_what_the_script_writes() -> None:
    arguments, text = re.search(r"generate\.py (--prompt .*)\n((?:    .*\n)+)", TEXT).groups()
    prompt, length = re.match(r'--prompt "(.*)" --length (\d+)', arguments).groups()
    command = [sys.executable, "scripts/generate.py", "--prompt", prompt, "--length", length]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed == re.sub(r"^    ", "", text, flags=re.MULTILINE)


@pytest.mark.needs("cc")
def test_the_program_in_c_is_the_one_that_runs(tmp_path: Path) -> None:
    program = (ROOT / "scripts" / "stream.c").read_text()
    assert f"```c\n{program}```" in TEXT
    shown = re.search(r"build/stream\n((?:    .*\n)+)", TEXT)[1]
    source, bundle = ROOT / "scripts" / "stream.c", ROOT / "artifacts" / "rnn_scratch"
    line = ["cc", "-O2", f"-I{bundle}", source, bundle / "model.c", "-o", tmp_path / "stream"]
    subprocess.run(line, check=True)
    printed = subprocess.run([tmp_path / "stream"], capture_output=True, text=True, check=True).stdout
    assert printed == re.sub(r"^    ", "", shown, flags=re.MULTILINE)
    inputs = (np.arange(5 * 16, dtype=np.float32) % 7 / 7).reshape(5, 1, 16)
    outputs, _ = rnn_export.load(bundle, runtime="onnxruntime")(inputs)
    assert [float(text.split()[0]) for text in printed.splitlines()] == pytest.approx(
        outputs.ravel(), abs=1e-6
    )


def test_both_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert f"\n{command}:" in makefile


@pytest.mark.parametrize("host", HOSTS)
def test_each_language_shows_an_excerpt_of_its_example(host: str) -> None:
    """A block stands in the example as it does here, but for its indentation; hosts of one block share it."""
    section = re.search(r"\n## Use it from\n(.*?)\n### ", TEXT, re.DOTALL)[1]
    [block] = re.findall(rf"(?ms)^[^\n]*\(examples/{host}\)[^\n]*:\n\n```\w+\n(.*?)```", section)
    names = sources(ROOT / "examples" / host)
    texts = [content.decode() for name, content in names.items() if Path(name).suffix in CODE]
    assert any(block in dedented(text, block) for text in texts)


CODE = {".c", ".cpp", ".rs", ".go", ".java", ".js", ".py"}


def dedented(text: str, block: str) -> str:
    """Take the indentation off that the first line of a block has in a text."""
    first = re.search(rf"^([ \t]+){re.escape(block.splitlines()[0])}$", text, re.MULTILINE)
    return re.sub(rf"^{first[1]}", "", text, flags=re.MULTILINE) if first else text
