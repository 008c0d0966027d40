"""``rnn-export compile``: a library to ship."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import rnn_export
from rnn_export.cli.main import app
from tests.support.c_programs import needs_compiler
from tests.support.cases import CASES, ModelCase
from tests.support.exports import Exported

pytestmark = needs_compiler


@pytest.mark.parametrize(
    ("options", "file"),
    [([], "librnn.so"), (["--static"], "librnn.a"), (["--object", "--march", "native"], "rnn.o")],
)
def test_gives_a_library_and_its_header(
    options: list[str], file: str, rnn: ModelCase, exported: Exported, tmp_path: Path
) -> None:
    folder = exported(rnn).folder
    done = CliRunner().invoke(app, ["compile", str(folder), "--out", str(tmp_path / "lib"), *options])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "lib").iterdir()} == {file, "model.h"}
    if file.endswith(".so"):
        version = ctypes.CDLL(str(tmp_path / "lib" / file)).rnn_version
        version.restype = ctypes.c_char_p
        assert version().startswith(b"rnn, rnn-export ")
    else:
        table = subprocess.run(
            ["nm", str(tmp_path / "lib" / file)], capture_output=True, text=True, check=True
        )
        assert " T rnn_run" in table.stdout


PROGRAM = """\
#include <stdio.h>
#include "model.h"
int main(void)
{
    float inputs[2 * RNN_INPUT_SIZE] = {0.5f, 1}, state[RNN_STATE_SIZE], outputs[2 * RNN_OUTPUT_SIZE];
    rnn_initial_state(1, state);
    rnn_run(2, 1, inputs, state, outputs, state);
    for (int i = 0; i < RNN_OUTPUT_SIZE; i++) printf("%.9g ", outputs[i]);
    return 0;
}
"""


@pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("gcc", "clang")]
)
@pytest.mark.parametrize("kind", ["--shared", "--static", "--object"])
def test_a_program_is_linked_as_the_command_says(
    kind: str,
    command: str,
    rnn: ModelCase,
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CC", command)
    folder, library = exported(rnn).folder, tmp_path / "lib"
    done = CliRunner().invoke(app, ["compile", str(folder), "--out", str(library), kind])
    (tmp_path / "yours.c").write_text(PROGRAM)
    line = done.output.partition("Use it: cc ")[2].split()
    monkeypatch.chdir(tmp_path)
    subprocess.run([command, *line, "-o", "program"], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library))
    said = subprocess.run(["./program"], capture_output=True, text=True, check=True).stdout
    inputs = np.zeros((2, 1, 4), np.float32)
    inputs[0, 0, :2] = 0.5, 1
    outputs, _ = rnn_export.load(folder, runtime="c")(inputs)
    np.testing.assert_allclose([float(number) for number in said.split()], outputs[0, 0], rtol=1e-5)


def test_a_library_has_a_name_that_c_can_have(rnn: ModelCase, tmp_path: Path) -> None:
    bundle = rnn_export.export(*rnn.build(), tmp_path / "bundle", name="../two nets-v1")
    done = CliRunner().invoke(app, ["compile", str(bundle.folder), "--out", str(tmp_path / "lib")])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "lib").iterdir()} == {"libtwo_nets_v1.so", "model.h"}


def test_a_folder_that_cannot_be_written_is_an_error(rnn: ModelCase, exported: Exported) -> None:
    done = CliRunner().invoke(app, ["compile", str(exported(rnn).folder), "--out", "/proc/nowhere"])
    assert done.exit_code == 1
    assert "/proc/nowhere cannot be written" in done.output


def test_nothing_is_left_of_what_fails(
    rnn: ModelCase, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "")
    line = ["compile", str(exported(rnn).folder), "--out", str(tmp_path / "lib"), "--march", "nonsense"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 1
    assert "nonsense" in done.output
    assert not (tmp_path / "lib").exists()


def test_two_kinds_at_once_are_refused(rnn: ModelCase, exported: Exported, tmp_path: Path) -> None:
    line = ["compile", str(exported(rnn).folder), "--out", str(tmp_path), "--static", "--object"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 2
    text = " ".join(done.output.replace("│", " ").split())
    assert "expected one of --shared, --static, --object, --wasm and --aoti, got 2" in text


def test_a_bundle_without_c_says_why(exported: Exported, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "rnn_float64")
    done = CliRunner().invoke(app, ["compile", str(exported(case).folder), "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "its numbers are float64" in " ".join(done.output.split())
