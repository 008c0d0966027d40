"""Functions whose formulas may lose digits: each runtime against PyTorch in float64."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import parser
from torch import Tensor, nn

from rnn_export.backends import onnx as onnx_backend
from rnn_export.backends.c.write.model import compile_program
from rnn_export.program.operator_facts import inexact_functions
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.tensors import Array
from tests.support.c_cells import captured
from tests.support.c_programs import needs_compiler
from tests.support.functions import GROUPS, Function, Functions

ULPS = 24  # units in the last place
TINY = 2e-38
SPECIAL = (
    0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1,
    -1,
    88.8,
    -88.8,
    104,
    300,
    -300,
    5.25,
    9.1,
    1e-9,
    -1e-9,
    3e38,
    0.5,
)
NOT_IN_C = {
    *"acos acosh all any asin asinh atan atan2 atanh cosh sinh sort topk".split(),  # noqa: SIM905
    *("atan2 of twins", "atan2, behind"),
}
ONNX = ("onnxruntime", "reference")


@dataclass(frozen=True)
class Loss:
    """Functions that lose digits, as docs/limits.md says: for which numbers, and how far off they are."""

    names: set[str]
    runtimes: Sequence[str]
    where: Callable[[Array], Array]
    off: float = math.inf

    def most(self, x: Array) -> Array:
        """Give what results may be off by, more than others."""
        return np.where(self.where(x), self.off * np.clip(np.nan_to_num(np.abs(x), nan=1), 1, 1e30), 0)


LOSSES = (
    Loss({"sigmoid", "special.expit", "silu", "glu"}, ONNX, lambda x: x < -3, 2e-7),
    Loss({"celu", "elu", "elu, scaled", "selu"}, ONNX, lambda x: (x > -1) & (x < 0), 2e-7),
    Loss({"amax", "amin", "argmax", "argmin", "max", "min"}, ONNX, np.isnan),
    Loss({"gelu", "hardsigmoid", "hardswish"}, (*ONNX, "c"), lambda x: x < -2, 2e-7),
    Loss({"logaddexp of a number and its half"}, (*ONNX, "c"), lambda x: (x > -2) & (x < 0), 2e-7),
    Loss({"log_softmax"}, ("reference",), lambda x: np.abs(x) > 0),
    Loss({"layer_norm", "norm", "std"}, (*ONNX, "c"), lambda x: np.abs(x) > 1e19),
)


class Each(nn.Module):
    """Some functions of a number, side by side; the state is no part of it."""

    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self.functions = list(functions.values())
        self.factor = nn.Parameter(torch.tensor([0.5]))

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        found = [torch.cat([function(x) for function in self.functions], -1) for x in inputs]
        return torch.stack(found), state * self.factor


def points(count: int) -> Array:
    """Give all floats in steps, those near 0 and 1 more closely, and special ones."""
    words = np.linspace(0, 2**32 - 1, count).astype(np.uint64).astype(np.uint32).view(np.float32)
    small = np.geomspace(1e-9, 1, count // 4)
    near = [np.linspace(-110, 110, count), small, -small, 1 - small[: count // 8]]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.concatenate([words, *near, SPECIAL]).astype(np.float32)


def wrong(got: Array, x: Array, function: Function, more: Array | float = 0) -> list[str]:
    """List where a result is further from float64 than eager is, by more than some ulps."""
    numbers = torch.from_numpy(x)[:, None]
    right = function(numbers.double()).numpy()[:, 0]
    eager = function(numbers).double().numpy()[:, 0]
    result = got.astype(np.float64)
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(right).astype(np.float32)).astype(np.float64)
        own = np.where(np.isfinite(eager), np.abs(eager - right), 0)
        allowed = own + ULPS * unit + TINY + more
        same = (result == right.astype(np.float32)) | (np.isnan(result) & np.isnan(right))
        places = np.flatnonzero(~same & ~(np.abs(result - right) <= allowed) & (allowed < np.inf))
    return [f"{x[place]}: {result[place]}, not {right[place]}" for place in places[:5]]


def results(functions: Functions, x: Array, runtime: str, folder: Path) -> Array:
    """Give what a file of some functions makes of some numbers, one column a function."""
    torch.manual_seed(0)
    subject, program = captured(Each(functions), (torch.rand(2, 3, 1) * 0.8 + 0.1, torch.zeros(3, 1)))
    path = folder / f"model{RUNTIMES[runtime].suffix}"
    if runtime == "c":
        files = compile_program(program, subject.signature, "net")
        path.write_text(files.source)
        path.with_suffix(".h").write_text(files.header)
    else:
        onnx_backend.write(ir.to_proto(program.model), path)
    call = RUNTIMES[runtime].start(path, subject.signature)
    with np.errstate(all="ignore"):
        return call(x.reshape(1, -1, 1), np.zeros((len(x), 1), np.float32))[0][0]


def plain(name: str) -> str:
    """Give the name of a function whose arguments may be swapped."""
    return name.removesuffix(", swapped")


exhaustive = pytest.mark.exhaustive
each_group = pytest.mark.parametrize(
    ("group", "count"),
    [
        pytest.param("own", 500, id="quick"),
        *(pytest.param(group, 50_000, marks=exhaustive, id=group) for group in GROUPS),
    ],
)


@each_group
@pytest.mark.parametrize(
    "runtime",
    ["onnxruntime", pytest.param("reference", marks=exhaustive), pytest.param("c", marks=needs_compiler)],
)
def test_no_function_loses_digits(group: str, count: int, runtime: str, tmp_path: Path) -> None:
    functions = {
        name: function
        for name, function in GROUPS[group].items()
        if runtime != "c" or plain(name) not in NOT_IN_C
    }
    x = points(count)
    found = results(functions, x, runtime, tmp_path)
    lost = {}
    for (name, function), column in zip(functions.items(), found.T, strict=True):
        losses = [loss for loss in LOSSES if plain(name) in loss.names and runtime in loss.runtimes]
        lost[name] = wrong(column, x, function, sum(loss.most(x) for loss in losses))
    assert {name: places for name, places in lost.items() if places} == {}


@pytest.mark.parametrize(
    ("function", "inexact"),
    [
        (torch.sigmoid, ["Sigmoid"]),
        (torch.tanh, []),
        (lambda x: nn.functional.elu(x) + x.amax(-1, True), ["Elu", "ReduceMax"]),
    ],
)
def test_a_model_names_its_inexact_functions(function: Function, inexact: list[str]) -> None:
    _, program = captured(Each({"it": function}), (torch.rand(2, 3, 1), torch.zeros(3, 1)))
    assert inexact_functions(program.model) == inexact


def test_activations_of_operators_count() -> None:
    def model(text: str) -> ir.Model:
        return ir.from_proto(parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}'))

    net = "net (float[T,B,4] x, float[1,{}5,4] w, float[1,{}5,5] r) => (float[T,1,B,5] y) "
    net += "{{ y = {} (x, w, r) }}"
    assert inexact_functions(model(net.format("1", "1", "GRU <hidden_size = 5>"))) == ["Sigmoid"]
    assert inexact_functions(model(net.format("", "", "RNN <hidden_size = 5>"))) == []
    chosen = 'RNN <hidden_size = 5, activations = ["Elu"]>'
    assert inexact_functions(model(net.format("", "", chosen))) == ["Elu"]
