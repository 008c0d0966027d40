"""A large model: its numbers stand in a file beside model.c."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import rnn_export
from rnn_export.backends.c.trace.elementwise import FLOAT
from rnn_export.backends.c.write.names import Names
from rnn_export.backends.c.write.pack import Weights
from rnn_export.cli.main import app
from rnn_export.verification.verify import PASSED, VerificationReport
from rnn_export.verification.wasm import ship_wasm
from tests.support.c_programs import SANITIZE, STRICT, build_driver, compile_c, needs_compiler, run_driver
from tests.support.cases import LARGE, ModelCase
from tests.support.exports import Exported

pytestmark = needs_compiler
each_command = pytest.mark.parametrize(
    "command", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("gcc", "clang")]
)


@pytest.fixture(scope="session")
def large(exported: Exported) -> rnn_export.Bundle:
    """Give the bundle of a net of 300,000 parameters, more than a model may have as text."""
    return exported(LARGE)


def test_constants_of_one_number_but_other_sizes_are_apart() -> None:
    weights = Weights(Names(set()))
    as_double = weights.numbers(np.zeros(16), FLOAT, "zeros")  # as many bytes as the other
    assert weights.numbers(np.zeros(32, np.float32), FLOAT, "zeros") != as_double


def test_its_numbers_stand_in_a_file(large: rnn_export.Bundle) -> None:
    assert {"model.c", "model.h", "model.c.weights"} <= set(large.manifest.files)
    assert large.manifest.files["model.c"]["bytes"] < 60_000
    assert large.manifest.files["model.c.weights"]["bytes"] == pytest.approx(4 * 1164 * 256, rel=0.02)
    header = (large.folder / "model.h").read_text()
    assert "numbers stand in model.c.weights; keep it beside model.c" in header
    report = VerificationReport.stored(large.manifest)
    assert [check.verdict for check in report.checks if check.file == "model.c"] == [PASSED]


@pytest.mark.several(1)
@each_command
def test_it_compiles_without_a_warning_and_runs(
    command: str, large: rnn_export.Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_c(command, tmp_path / "model.o", *STRICT, "-O2", "-march=native", "-c", large.folder / "model.c")
    monkeypatch.chdir(tmp_path)  # and not where the file is
    options = ["-march=native", *(SANITIZE if command == "gcc" else ())]  # clang's would take minutes here
    build_driver(large.folder, "large", tmp_path / "driver", *options, command=command)
    run_driver(large, tmp_path / "driver")


@pytest.mark.needs("gcc")
def test_the_file_may_lie_elsewhere(large: rnn_export.Bundle, tmp_path: Path) -> None:
    for name in ("model.c", "model.h"):
        shutil.copyfile(large.folder / name, tmp_path / name)
    elsewhere = f'-DLARGE_WEIGHTS="{large.folder / "model.c.weights"}"'
    build_driver(tmp_path, "large", tmp_path / "driver", "-march=native", elsewhere, command="gcc")
    run_driver(large, tmp_path / "driver")


@pytest.mark.needs("aarch64-linux-gnu-gcc", "qemu-aarch64")
def test_arm_takes_the_file_too(large: rnn_export.Bundle, tmp_path: Path) -> None:
    command = "aarch64-linux-gnu-gcc"
    build_driver(large.folder, "large", tmp_path / "driver", "-static", command=command)
    run_driver(large, "qemu-aarch64", tmp_path / "driver")


@pytest.mark.needs("gcc")
def test_another_compiler_links_an_object(large: rnn_export.Bundle, tmp_path: Path) -> None:
    """As a compiler that has no assembler would: the numbers come in an object of their own."""
    numbers = tmp_path / "numbers.c"
    place = large.folder / "model.c.weights"
    text = f'.section .rodata\\n.globl large_weights\\n.balign 64\\nlarge_weights: .incbin \\"{place}\\"'
    numbers.write_text(f'__asm__("{text}");\n')
    options = ["-U__ELF__", "-march=native", str(numbers)]
    build_driver(large.folder, "large", tmp_path / "driver", *options, command="gcc")
    run_driver(large, tmp_path / "driver")


def test_a_library_holds_the_numbers(large: rnn_export.Bundle, tmp_path: Path) -> None:
    line = ["compile", str(large.folder), "--out", str(tmp_path), "--march", "native"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "liblarge.so").stat().st_size > 1_150_000
    table = subprocess.run(["nm", "-D", tmp_path / "liblarge.so"], capture_output=True, text=True, check=True)
    assert "large_weights" not in table.stdout


def test_a_small_model_is_one_file(rnn: ModelCase, exported: Exported) -> None:
    assert "model.c.weights" not in exported(rnn).manifest.files


@pytest.mark.needs("clang", "wasm-ld")
def test_its_numbers_are_in_the_webassembly(large: rnn_export.Bundle, tmp_path: Path) -> None:
    file, check = ship_wasm(large.folder, tmp_path)
    assert check.verdict == PASSED
    assert file.stat().st_size > large.manifest.files["model.c.weights"]["bytes"]
