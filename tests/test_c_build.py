"""What a compiler and its sanitizers say of the C that is written."""

import re
import subprocess
import sys
from math import prod
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch

import rnn_export
from rnn_export.backends.c import compile_program, identifier
from rnn_export.errors import CompileError
from rnn_export.models import RNNScratch
from rnn_export.program import Program
from rnn_export.runtimes.c import compiler
from tests.cases import ModelCase, Way
from tests.conftest import Exported
from tests.test_c import COMPILED, each_compiled

DRIVER = Path(__file__).with_name("c_driver.c")
STRICT = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# What a freestanding compiler may call; of x86-64's ways to ask for the processor, those of its own library.
CALLS = {"memcpy", "memmove", "memset", "__cpu_model", "__cpu_indicator_init", "_GLOBAL_OFFSET_TABLE_"}
ULP = {"tanh": 5, "exp": 1.1, "sigmoid": 2.5, "log": 1, "sqrt": 1, "erf": 1.5, "expm1": 5, "softplus": 2}
ULP |= {"round": 0, "floor": 0, "sin": 1, "cos": 1, "pow": 1, "pow_odd": 1, "pow_of": 1, "pow_tiny": 1}

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler"),
    pytest.mark.filterwarnings("ignore:LSTM with projections"),  # said by torch.nn itself
]


def compiled(folder: Path, target: Path, *options: str) -> None:
    line = [*(compiler() or []), f"-I{folder}", *options, str(folder / "model.c"), "-o", str(target)]
    subprocess.run(line, check=True, capture_output=True, text=True)


def driver(bundle: rnn_export.Bundle, target: Path, *options: str) -> None:
    """Build a program that runs the bundle's calls."""
    room = "WORKSPACE_SIZE" in (bundle.folder / "model.h").read_text()
    names = [f"-DRUN={identifier(bundle.manifest.name)}_run", *(["-DWORKSPACE"] if room else [])]
    compiled(bundle.folder, target, "-march=native", *options, *names, "-O1", "-pthread", str(DRIVER))


def run(bundle: rnn_export.Bundle, program: Path, *arguments: str) -> None:
    """Run all golden vectors, and compare the results with eager's."""
    header = (bundle.folder / "model.h").read_text()
    found = re.search(r"_WORKSPACE_SIZE (\d+)", header)
    calls = b""
    for case in bundle.cases:
        state = b"".join(leaf.tobytes() for leaf in case.state)
        outputs = prod(bundle.signature.outputs.sized(time=case.time, batch=case.batch)) * 4
        room = case.time * case.batch * int(found[1]) * 4 if found else 0
        sizes = np.array([case.time, case.batch, case.inputs.nbytes, len(state), outputs, room], np.uint64)
        calls += sizes.tobytes() + case.inputs.tobytes() + state
    done = subprocess.run([str(program), *arguments], input=calls, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr
    at = 0
    for case in bundle.cases:
        want = case.float32[0]
        got = np.frombuffer(done.stdout, np.float32, want.size, at).reshape(want.shape)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
        at += want.nbytes + sum(leaf.nbytes for leaf in case.state)
    assert at == len(done.stdout)


@each_compiled
def test_the_sanitizers_report_nothing(case: ModelCase | Way, exported_c: Exported, tmp_path: Path) -> None:
    bundle = exported_c(case)
    driver(bundle, tmp_path / "driver", *SANITIZE)
    run(bundle, tmp_path / "driver")


@pytest.mark.parametrize("name", ["gru", "deep_bidirectional"])
def test_many_threads_share_one_library(name: str, exported_c: Exported, tmp_path: Path) -> None:
    bundle = exported_c(next(case for case in COMPILED if case.name == name))
    driver(bundle, tmp_path / "driver")
    run(bundle, tmp_path / "driver", "8")


@each_compiled
def test_nothing_is_allocated_locked_or_changed(
    case: ModelCase | Way, exported_c: Exported, tmp_path: Path
) -> None:
    target = tmp_path / "model.o"
    compiled(exported_c(case).folder, target, *STRICT, "-O1", "-c")
    table = subprocess.run(["nm", str(target)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in table.splitlines()]
    assert {name for kind, name in symbols if kind == "U"} <= CALLS
    assert not [name for kind, name in symbols if kind in "bBdDC"]
    name = identifier(exported_c(case).manifest.name)
    public = {name for kind, name in symbols if kind == "T"}
    assert public == {f"{name}_run", f"{name}_initial_state", f"{name}_version"}


@pytest.mark.parametrize(
    "options", [["-DPLAIN_LOOPS"], ["-mno-avx512f"], ["-march=x86-64"]], ids=lambda options: options[0]
)
@pytest.mark.parametrize("name", ["lstm", "tagger"])
def test_other_processors_compute_the_same(
    name: str, options: list[str], exported_c: Exported, tmp_path: Path
) -> None:
    bundle = exported_c(next(case for case in COMPILED if case.name == name))
    driver(bundle, tmp_path / "driver", *options, *SANITIZE)
    run(bundle, tmp_path / "driver")


@pytest.mark.parametrize("name", ULP)
def test_functions_are_as_exact_as_they_say(name: str) -> None:
    script = Path(__file__).parents[1] / "scripts" / "ulp.py"
    done = subprocess.run(
        [sys.executable, str(script), "--every", "9973", name], capture_output=True, text=True, check=True
    )
    found = re.fullmatch(
        rf"{name} +(\S+) ulp at \S+; special values that are wrong: none", done.stdout.strip()
    )
    assert found, done.stdout
    assert float(found[1]) <= ULP[name]


def test_no_time_steps_or_rows_write_the_state_alone(exported_c: Exported, tmp_path: Path) -> None:
    bundle = exported_c(next(case for case in COMPILED if case.name == "lstm"))
    driver(bundle, tmp_path / "driver", *SANITIZE)
    state = np.arange(36, dtype=np.float32)
    calls = np.array([0, 3, 0, state.nbytes, 0, 0], np.uint64).tobytes() + state.tobytes()
    calls += np.array([4, 0, 0, 0, 0, 0], np.uint64).tobytes()
    done = subprocess.run([str(tmp_path / "driver")], input=calls, capture_output=True, check=True)
    assert done.stdout == state.tobytes()


def test_an_operator_that_is_unknown_is_named_with_its_node(exported_c: Exported) -> None:
    bundle = exported_c(next(case for case in COMPILED if case.name == "rnn"))
    model = ir.load(bundle.folder / "model.onnx")
    node = next(node for node in model.graph if model.graph.inputs[0] in node.inputs)
    node.op_type = "Sinh"
    with pytest.raises(CompileError, match=r"node '.*' \(Sinh\): the C backend does not know the operator"):
        compile_program(Program(model, bundle.signature), bundle.signature, "net")


def test_the_net_of_the_notebook_is_small(tmp_path: Path) -> None:
    model = RNNScratch(16, 32, 1)
    example = torch.rand(20, 2, 16), model.begin_state(2, torch.device("cpu"))
    bundle = rnn_export.export(model, example, tmp_path / "bundle", c=True)
    assert (bundle.folder / "model.c").stat().st_size < 40_000
