"""What there is of other systems in the code does not stand in the way of a call: nothing was run on them."""

import os

import pytest

from tests.support.other_systems import run_as
from tests.support.paths import ROOT

BUNDLE = ROOT / "artifacts" / "rnn_scratch"
STREAM = f"""
import numpy as np, rnn_export
runner = rnn_export.load({str(BUNDLE)!r}, runtime="onnxruntime")
outputs, state = runner(np.zeros((3, 2, 16), np.float32))
print(outputs.shape)
"""


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_a_bundle_is_loaded_and_run(platform: str) -> None:
    done = run_as(platform, STREAM, "onnxruntime")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(3, 2, 1)\n"


@pytest.mark.exhaustive
def test_every_file_of_the_package_can_be_imported_on_windows() -> None:
    program = """
import pkgutil, sys, rnn_export
for module in pkgutil.walk_packages(rnn_export.__path__, "rnn_export."):
    try:
        __import__(module.name)
    except ModuleNotFoundError as error:
        name = error.name.partition(".")[0]
        if name in sys.stdlib_module_names or name == "rnn_export":
            raise  # a module of POSIX, say; others are packages of extras
print("all")
"""
    done = run_as("win32", program, "torch", "torch.onnx", "onnx", "onnxruntime", "onnx_ir", "onnxscript")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "all\n"


def test_windows_is_told_that_files_are_run_in_forked_processes() -> None:
    program = f"""
import rnn_export
try:
    rnn_export.verify({str(BUNDLE)!r})
except rnn_export.errors.VerificationError as error:
    print(error)
"""
    done = run_as("win32", program, "onnxruntime")
    assert done.returncode == 0, done.stderr
    assert "forked, which this system (win32) does not have" in done.stdout


@pytest.mark.parametrize(("platform", "ending"), [("win32", ".dll"), ("darwin", ".dylib")])
def test_libraries_are_built_as_the_system_has_them(platform: str, ending: str) -> None:
    program = """
from rnn_export.runtimes import compiler, ship
print(ship.ENDINGS["shared"], *ship.PRODUCTS["shared"])
print(compiler.user())
"""
    done = run_as(platform, program)
    assert done.returncode == 0, done.stderr
    options, user = done.stdout.splitlines()
    assert options == (f"{ending} -shared" if platform == "win32" else f"{ending} -shared -fPIC")
    assert int(user) == (0 if platform == "win32" else os.getuid())
