"""Functions whose formulas would lose digits: in ONNX Runtime and in C, against PyTorch in float64."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.runtimes import c
from rnn_export.signature.signature import Array
from tests.support.c_cells import captured, write_c
from tests.support.c_programs import needs_compiler

OTHER = 2.5
Functions = dict[str, Callable[[Tensor], Tensor]]
IN_C: Functions = {
    "erfc": torch.erfc,
    "expm1": torch.expm1,
    "heaviside": lambda x: torch.heaviside(x, torch.full_like(x, OTHER)),
    "log1p": torch.log1p,
    "log1p, in place": lambda x: x.clone().log1p_(),
    "log_sigmoid": functional.logsigmoid,
    "logaddexp": lambda x: torch.logaddexp(x, torch.full_like(x, OTHER)),
    "logaddexp of twins": lambda x: torch.logaddexp(x, x),
    "logaddexp2": lambda x: torch.logaddexp2(torch.full_like(x, OTHER), x),
    "logit": torch.logit,
    "logit within": lambda x: torch.logit(x, 1e-6),
    "sign": torch.sign,
    "special.expm1": torch.special.expm1,
}
FUNCTIONS: Functions = {
    **IN_C,
    "atan2": lambda x: torch.atan2(x, torch.full_like(x, OTHER)),
    "atan2, behind": lambda x: torch.atan2(torch.full_like(x, -OTHER), x),
    "atan2 of twins": lambda x: torch.atan2(x.abs(), x.abs()),
}
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


def wrong(got: Array, x: Array, name: str) -> list[str]:
    """List where a result is further from float64 than eager is, by more than some ulps."""
    column, function = list(FUNCTIONS).index(name), FUNCTIONS[name]
    right = function(torch.from_numpy(x).double()).numpy()
    eager = function(torch.from_numpy(x)).double().numpy()
    result = got.reshape(len(x), -1)[:, column].astype(np.float64)
    with np.errstate(all="ignore"):
        unit = np.spacing(np.abs(right).astype(np.float32)).astype(np.float64)
        allowed = np.abs(eager - right) + ULPS * unit + TINY
        same = (result == right.astype(np.float32)) | (np.isnan(result) & np.isnan(right))
        places = np.flatnonzero(~same & ~(np.abs(result - right) <= allowed))
    return [f"{x[place]}: {result[place]}, not {right[place]}" for place in places[:5]]


@pytest.fixture(scope="module", params=[500, pytest.param(200_000, marks=pytest.mark.exhaustive)])
def x(request: pytest.FixtureRequest) -> Array:
    return points(request.param)


@pytest.fixture(scope="module")
def in_onnx(x: Array) -> Array:
    torch.manual_seed(0)
    _, program = captured(Each(FUNCTIONS), (torch.rand(2, 3, 1), torch.zeros(3, 1)))
    model = ir.to_proto(program.model).SerializeToString()
    feeds = {"inputs": x.reshape(1, -1, 1), "state_0": np.zeros((len(x), 1), np.float32)}
    return onnxruntime.InferenceSession(model).run(None, feeds)[0]


@pytest.fixture(scope="module")
def in_c(x: Array, tmp_path_factory: pytest.TempPathFactory) -> Array:
    folder = tmp_path_factory.mktemp("functions")
    torch.manual_seed(0)
    subject = write_c(Each(IN_C), (torch.rand(2, 3, 1), torch.zeros(3, 1)), folder)
    return c.start(folder / "model.c", subject.signature)(
        x.reshape(1, -1, 1), np.zeros((len(x), 1), np.float32)
    )[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnx_keeps_the_digits(name: str, in_onnx: Array, x: Array) -> None:
    assert not wrong(in_onnx, x, name)


@needs_compiler
@pytest.mark.parametrize("name", IN_C)
def test_c_keeps_the_digits(name: str, in_c: Array, x: Array) -> None:
    assert not wrong(in_c, x, name)
