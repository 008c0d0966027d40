"""What the README shows is what comes out."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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


def test_both_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert f"\n{command}:" in makefile
