"""What people write inside of a cell: each module and function as C, equal to eager."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.backends.c.write.model import compile_program
from rnn_export.capture import step
from rnn_export.errors import CompileError
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.passes.pipeline import PASSES
from rnn_export.program.program import Program
from rnn_export.runtimes import c
from rnn_export.runtimes.compiler import compiler
from tests.support.c_programs import CALLS, STRICT, compile_c
from tests.support.cases import sample

HIDDEN = 6

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


class Cell(nn.Module):
    """``h = tanh(f(x W + h U + b))``."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.W = nn.Parameter(torch.randn(4, HIDDEN) * 0.5)
        self.U = nn.Parameter(torch.randn(HIDDEN, HIDDEN) * 0.3)
        self.b = nn.Parameter(torch.randn(HIDDEN) * 0.3)

    def forward(self, inputs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x in inputs:
            h = torch.tanh(self.function(x @ self.W + h @ self.U + self.b))
            outputs.append(h)
        return torch.stack(outputs), h


def positive(x: Tensor) -> Tensor:
    return x.abs() + 0.1


def after_training(norm: nn.Module) -> nn.Module:
    """Give a norm with statistics, weights and biases as training leaves them."""
    with torch.no_grad():
        for value in (*norm.parameters(), *norm.buffers()):
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    return norm


FUNCTIONS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "batch_norm": lambda: after_training(nn.BatchNorm1d(HIDDEN)),
    "celu": lambda: nn.CELU(0.7),
    "elu": lambda: nn.ELU(0.7),
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "group_norm": lambda: after_training(nn.GroupNorm(2, HIDDEN)),
    "hardshrink": lambda: nn.Hardshrink(0.2),
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 0.7),
    "layer_norm": lambda: after_training(nn.LayerNorm(HIDDEN)),
    "leaky_relu": nn.LeakyReLU,
    "log_sigmoid": nn.LogSigmoid,
    "log_softmax": lambda: nn.LogSoftmax(-1),
    "mish": nn.Mish,
    "prelu": lambda: nn.PReLU(HIDDEN),
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "rms_norm": lambda: after_training(nn.RMSNorm(HIDDEN)),
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "softmax": lambda: nn.Softmax(-1),
    "softplus": lambda: nn.Softplus(2.0, 1.5),
    "softshrink": lambda: nn.Softshrink(0.2),
    "softsign": nn.Softsign,
    "tanhshrink": nn.Tanhshrink,
    "threshold": lambda: nn.Threshold(0.1, 0.3),
    "abs": lambda: torch.abs,
    "acos": lambda: lambda x: torch.acos(x * 0.2),
    "acosh": lambda: lambda x: torch.acosh(1 + x.abs()),
    "asin": lambda: lambda x: torch.asin(x * 0.2),
    "asinh": lambda: torch.asinh,
    "atan": lambda: torch.atan,
    "atanh": lambda: lambda x: torch.atanh(x * 0.2),
    "ceil": lambda: lambda x: x + 0.01 * torch.ceil(x * 3),
    "clamp": lambda: lambda x: x.clamp(-0.3, 0.4),
    "clamp_min": lambda: lambda x: x.clamp(min=0.1),
    "cos": lambda: torch.cos,
    "cosh": lambda: torch.cosh,
    "exp": lambda: torch.exp,
    "exp2": lambda: torch.exp2,
    "floor": lambda: lambda x: x + 0.01 * torch.floor(x * 3),
    "glu": lambda: lambda x: functional.glu(torch.cat([x, x * 2], -1)),
    "isnan": lambda: lambda x: torch.where(torch.isnan(x), 0.5, x),
    "log": lambda: lambda x: torch.log(positive(x)),
    "logsumexp": lambda: lambda x: x - torch.logsumexp(x, -1, keepdim=True),
    "l1_normalized": lambda: lambda x: functional.normalize(x, p=1.0, dim=-1),
    "l2_normalized": lambda: lambda x: functional.normalize(x, dim=-1),
    "nan_to_num": lambda: torch.nan_to_num,
    "pow_computed": lambda: lambda x: positive(x) ** x,
    "pow_half": lambda: lambda x: positive(x) ** 0.5,
    "pow_inverse": lambda: lambda x: positive(x) ** -1,
    "pow_inverse_half": lambda: lambda x: positive(x) ** -0.5,
    "pow_inverse_square": lambda: lambda x: positive(x) ** -2,
    "pow_many": lambda: lambda x: positive(x) ** torch.tensor([1.5, 2.0, 3.0, 0.0, -1.0, 0.3]),
    "pow_cube": lambda: lambda x: x**3,
    "pow_of_number": lambda: lambda x: 1.7**x,
    "pow_other": lambda: lambda x: positive(x) ** 1.7,
    "pow_square": lambda: lambda x: x**2,
    "remainder": lambda: lambda x: torch.remainder(x, 0.7),
    "truth_values_alike": lambda: lambda x: torch.where((x > 0) == (x > 0.5), x, -x),
    "truth_value_chosen": lambda: lambda x: torch.where(torch.where(x > 0, x > 0.5, x > -0.5), x, -x),
    "round": lambda: lambda x: x + 0.01 * torch.round(x * 3),
    "rsqrt": lambda: lambda x: torch.rsqrt(positive(x)),
    "sign": lambda: lambda x: x + 0.01 * torch.sign(x),
    "sin": lambda: torch.sin,
    "sinh": lambda: torch.sinh,
    "sqrt": lambda: lambda x: torch.sqrt(positive(x)),
    "tan": lambda: lambda x: torch.tan(x * 0.3),
    "trunc": lambda: lambda x: x + 0.01 * torch.trunc(x * 3),
    "variance": lambda: lambda x: x / (x.var(-1, keepdim=True) + 1),
}


QUICK = ("celu", "cos", "exp2", "group_norm", "isnan", "log_softmax", "pow_many", "remainder")


def captured(function: Callable[[], Callable[[Tensor], Tensor]]) -> tuple[Subject, Program]:
    """Give a cell's Program after the passes that C is written after."""
    torch.manual_seed(0)
    cell = Cell(function()).eval()
    subject = inspect_module(cell, (torch.randn(9, 3, 4), torch.randn(3, HIDDEN)))
    program = step.capture(subject)
    for run, _ in PASSES[:4]:
        program = run(program)
    return subject, program


@needs_compiler
@pytest.mark.parametrize("name", sample([*FUNCTIONS], *QUICK))
def test_a_cell_with_it_gives_in_c_what_eager_gives(name: str, tmp_path: Path) -> None:
    subject, program = captured(FUNCTIONS[name])
    files = compile_program(program, subject.signature, "net")
    (tmp_path / "model.c").write_text(files.source)
    (tmp_path / "model.h").write_text(files.header)
    with torch.no_grad():
        wanted = subject.model(subject.inputs[0], subject.state[0])
    got = c.start(tmp_path / "model.c", subject.signature)(
        subject.inputs[0].numpy(), subject.state[0].numpy()
    )
    for want, result in zip(wanted, got, strict=True):
        np.testing.assert_allclose(result, want.numpy(), rtol=0, atol=2e-5)


@pytest.mark.several(1)
@needs_compiler
@pytest.mark.parametrize("options", [[], ["-DPLAIN_LOOPS"], ["-march=x86-64"]], ids=str)
@pytest.mark.parametrize("name", sample(["cos", "pow_computed", "remainder"], "remainder"))
def test_the_functions_compile_without_a_warning_and_call_nothing(
    name: str, options: list[str], tmp_path: Path
) -> None:
    subject, program = captured(FUNCTIONS[name])
    files = compile_program(program, subject.signature, "net")
    (tmp_path / "model.c").write_text(files.source)
    (tmp_path / "model.h").write_text(files.header)
    line = [*STRICT, "-O1", "-c", *options, tmp_path / "model.c"]
    compile_c(compiler() or [], tmp_path / "model.o", *line)
    table = subprocess.run(
        ["nm", str(tmp_path / "model.o")], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[-1] for line in table.splitlines() if " U " in line} <= CALLS


@pytest.mark.parametrize("operator", ["Det", "Pow"])
def test_an_operator_that_c_has_not_is_named_with_its_node_and_line(operator: str) -> None:
    subject, program = captured(FUNCTIONS["sin"])
    body = next(node for node in program.model.graph if node.op_type == "Scan").attributes["body"].as_graph()
    node = next(node for node in body if node.op_type == "Sin")
    node.op_type = operator
    if operator == "Pow":  # which is known, but not on whole numbers
        whole = ir.node("Cast", [node.inputs[0]], {"to": ir.DataType.INT64})
        body.insert_before(node, whole)
        node.resize_inputs(2)
        node.replace_input_with(0, whole.outputs[0])
        node.replace_input_with(1, whole.outputs[0])
    with pytest.raises(
        CompileError, match=rf"node '{node.name}' \({operator}\), .*{Path(__file__).name}.*: "
    ):
        compile_program(program, subject.signature, "net")
