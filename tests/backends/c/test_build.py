"""What compilers and their sanitizers say of the C that is written."""

import re
import subprocess
import sys
from pathlib import Path

import onnx_ir as ir
import pytest
import torch

import rnn_export
from rnn_export.backends.c.trace.elementwise import Kernel, kernels
from rnn_export.backends.c.write.model import compile_program
from rnn_export.backends.c.write.source import kernel_text
from rnn_export.errors import CompileError
from rnn_export.models import RNNScratch
from rnn_export.program.program import Program
from rnn_export.runtimes.compiler import compiler
from rnn_export.signature.signature import identifier
from tests.support.c_programs import (
    CALLS,
    POISON,
    SANITIZE,
    STRICT,
    build_driver,
    compile_c,
    has_avx512,
    needs_compiler,
    run_driver,
)
from tests.support.cases import COMPILED, CallCase, ModelCase, sample, the
from tests.support.exports import Exported
from tests.support.paths import ROOT

pytestmark = [
    needs_compiler,
    pytest.mark.filterwarnings("ignore:LSTM with projections"),  # said by torch.nn itself
]


@pytest.mark.several(1)
@pytest.mark.parametrize("case", sample(COMPILED, "deep_bidirectional"))
def test_the_sanitizers_report_nothing(
    case: ModelCase | CallCase, exported: Exported, tmp_path: Path
) -> None:
    bundle = exported(case)
    program = tmp_path / "driver"
    build_driver(bundle.folder, bundle.manifest.name, program, "-march=native", *SANITIZE)
    run_driver(bundle, program)


@pytest.mark.needs("clang")
@pytest.mark.parametrize("name", ["rnn", "tagger"])
def test_the_sanitizers_of_clang_report_nothing(name: str, exported: Exported, tmp_path: Path) -> None:
    bundle, program = exported(the(name)), tmp_path / "driver"
    options = ["-march=native", "-O0", *SANITIZE]  # what it would optimize takes it minutes
    build_driver(bundle.folder, bundle.manifest.name, program, *options, command="clang")
    run_driver(bundle, program)


@pytest.mark.needs("clang")
@pytest.mark.parametrize("case", sample(COMPILED, "lstm", "list_state"))
def test_nothing_is_read_that_was_not_written(
    case: ModelCase | CallCase, exported: Exported, tmp_path: Path
) -> None:
    bundle, program = exported(case), tmp_path / "driver"
    build_driver(bundle.folder, bundle.manifest.name, program, "-march=native", POISON, command="clang")
    run_driver(bundle, program)


@pytest.mark.several(2)
@pytest.mark.parametrize("case", sample(COMPILED, "lstm", "deep_bidirectional"))
@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param("gcc", ["-O2", "-march=native"], marks=pytest.mark.needs("gcc"), id="gcc"),
        pytest.param("clang", ["-O1"], marks=pytest.mark.needs("clang"), id="clang"),
    ],
)
def test_no_compiler_warns(
    command: str, options: list[str], case: ModelCase | CallCase, exported: Exported, tmp_path: Path
) -> None:
    source = exported(case).folder / "model.c"
    compile_c(command, tmp_path / "model.o", *STRICT, *options, "-c", source)


@pytest.mark.several(2)
@pytest.mark.parametrize("name", sample(["lstm", "deep_bidirectional"], "lstm"))
@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param("gcc", ["-O3"], marks=pytest.mark.needs("gcc"), id="gcc"),
        pytest.param("gcc", ["-O2", "-DPLAIN_LOOPS"], marks=pytest.mark.needs("gcc"), id="gcc_plain"),
        pytest.param("clang", ["-O3", "-march=native"], marks=pytest.mark.needs("clang"), id="clang"),
        pytest.param("clang", ["-O2", "-DPLAIN_LOOPS"], marks=pytest.mark.needs("clang"), id="clang_plain"),
    ],
)
def test_no_compiler_warns_whatever_it_is_told(
    command: str, options: list[str], name: str, exported: Exported, tmp_path: Path
) -> None:
    source = exported(the(name)).folder / "model.c"
    compile_c(command, tmp_path / "model.o", *STRICT, *options, "-c", source)


@pytest.mark.needs("g++")
@pytest.mark.parametrize("name", ["rnn", "tagger", "deep_bidirectional"])
def test_cpp_calls_it(name: str, exported: Exported, tmp_path: Path) -> None:
    bundle = exported(the(name))
    prefix = identifier(bundle.manifest.name)
    main = tmp_path / "main.cpp"
    main.write_text(f'#include "model.h"\nint main() {{ return {prefix}_version()[0] != {prefix[0]!r}; }}\n')
    compile_c(compiler() or [], tmp_path / "model.o", "-march=native", "-c", bundle.folder / "model.c")
    strict = ["-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{bundle.folder}"]
    compile_c("g++", tmp_path / "main", *strict, main, tmp_path / "model.o")
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


@pytest.mark.several(1)
@pytest.mark.parametrize("case", sample(COMPILED, "deep_bidirectional"))
def test_nothing_is_called_locked_or_changed(
    case: ModelCase | CallCase, exported: Exported, tmp_path: Path
) -> None:
    bundle, target = exported(case), tmp_path / "model.o"
    compile_c(compiler() or [], target, *STRICT, "-O1", "-c", bundle.folder / "model.c")
    table = subprocess.run(["nm", str(target)], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in table.splitlines()]
    assert {name for kind, name in symbols if kind == "U"} <= CALLS
    assert not [name for kind, name in symbols if kind in "bBdDC"]
    name = identifier(bundle.manifest.name)
    public = {name for kind, name in symbols if kind == "T"}
    assert public == {f"{name}_{end}" for end in ("run", "run_rows", "initial_state", "version")}


def exactness(name: str, *options: str) -> float:
    """Measure a function in units in the last place."""
    script = ROOT / "benchmarks" / "ulp.py"
    line = [sys.executable, str(script), "--every", "9973", *options, name]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found = re.fullmatch(
        rf"{name} +(\S+) ulp at \S+; special values that are wrong: none", done.stdout.strip()
    )
    assert found, done.stdout
    return float(found[1])


@pytest.mark.several(4)
@pytest.mark.parametrize(("name", "kernel"), kernels().items())
def test_functions_are_as_exact_as_they_say(name: str, kernel: Kernel) -> None:
    assert exactness(name) <= kernel.error


@pytest.mark.several(1)
@pytest.mark.skipif(not has_avx512(), reason="a processor without AVX-512")
@pytest.mark.parametrize(
    ("name", "most"),
    [(name, kernel.error_in_avx512) for name, kernel in kernels().items() if kernel.error_in_avx512],
)
def test_functions_of_avx512_are_as_exact_as_they_say(name: str, most: float) -> None:
    assert exactness(name, "--lanes", "16") <= most


def test_every_kernel_has_a_stated_error() -> None:
    text = "\n".join(kernel_text({kernel.name for kernel in kernels().values()}))
    called = set(re.findall(r"^INLINE vec (v\w+)\(", text, re.MULTILINE))
    measured = {
        each.call.partition("(")[0] for kernel in kernels().values() for each in kernel.measured.values()
    }
    assert called == measured


def test_an_operator_that_is_unknown_is_named_with_its_node(exported: Exported) -> None:
    bundle = exported(the("rnn"))
    model = ir.load(bundle.folder / "model.onnx")
    node = next(node for node in model.graph if model.graph.inputs[0] in node.inputs)
    node.op_type = "Det"
    with pytest.raises(CompileError, match=r"node '.*' \(Det\): the C backend does not know the operator"):
        compile_program(Program(model, bundle.signature), bundle.signature, "net")


class OtherWhenLong(torch.nn.Module):
    """What is done depends on the number of time steps alone: a branch that reads no input of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.nn.Linear(4, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(inputs.shape[1], 4, dtype=inputs.dtype)
        if inputs.shape[0] > 500:
            inputs = inputs * 0.5
        out = []
        for x_t in inputs:
            h = torch.tanh(self.x(x_t) + h)
            out.append(h)
        return torch.stack(out)


def test_a_branch_on_the_number_of_time_steps_is_refused(tmp_path: Path) -> None:
    bundle = rnn_export.export(OtherWhenLong().eval(), torch.randn(7, 3, 4), tmp_path / "bundle")
    assert "chooses a branch" in bundle.why_without("model.c")


def test_the_net_of_the_notebook_is_small(tmp_path: Path) -> None:
    model = RNNScratch(16, 32, 1)
    example = torch.rand(20, 2, 16), model.begin_state(2, torch.device("cpu"))
    bundle = rnn_export.export(model, example, tmp_path / "bundle")
    compile_c(compiler() or [], tmp_path / "model.o", "-O2", "-c", bundle.folder / "model.c")
    table = subprocess.run(["size", tmp_path / "model.o"], capture_output=True, text=True, check=True).stdout
    assert int(table.splitlines()[1].split()[3]) < 45_000  # code and numbers, for three kinds of processor
