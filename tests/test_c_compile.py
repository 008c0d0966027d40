"""``rnn-export compile``: a library to ship."""

import ctypes
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rnn_export.cli import app
from tests.c_programs import needs_compiler
from tests.cases import CASES, ModelCase
from tests.conftest import Exported

pytestmark = needs_compiler


@pytest.mark.parametrize(
    ("options", "file"),
    [([], "librnn.so"), (["--static"], "librnn.a"), (["--object", "--march", "native"], "rnn.o")],
)
def test_gives_a_library_and_its_header(
    options: list[str], file: str, rnn: ModelCase, exported_c: Exported, tmp_path: Path
) -> None:
    folder = exported_c(rnn).folder
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


def test_two_kinds_at_once_are_refused(rnn: ModelCase, exported_c: Exported, tmp_path: Path) -> None:
    line = ["compile", str(exported_c(rnn).folder), "--out", str(tmp_path), "--static", "--object"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 2
    assert "expected one of --shared, --static and --object" in done.output


def test_a_bundle_without_c_says_why(exported_c: Exported, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "rnn_float64")
    done = CliRunner().invoke(app, ["compile", str(exported_c(case).folder), "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "its numbers are float64" in " ".join(done.output.split())
