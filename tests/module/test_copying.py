"""The copy that is exported computes what the module computes in eval mode; the module stays as it is."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

import rnn_export
from rnn_export.module.copying import copied

X, H = torch.linspace(-1, 1, 6 * 3 * 4).view(6, 3, 4), torch.zeros(3, 5)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*deprecated:FutureWarning", "ignore:.*torch.jit:DeprecationWarning"
)


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.i, self.h = nn.Linear(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for x_t in x:
            h = torch.tanh(self.i(x_t) + self.h(h))
            out.append(h)
        return torch.stack(out), h


class Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).T


class Noisy(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight + torch.randn_like(weight)


class Computed(Cell):
    """Keeps a tensor that was computed from its parameters, in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = [self.h.weight.norm()]

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x / self.scales[0], h)


class Empty(Cell):
    """Has a length, which is zero: it is false, and a module all the same."""

    def __len__(self) -> int:
        return 0


class Inside(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.again = cell, cell

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return self.cell(x, h)


def with_weight(change: Callable[[nn.Module], object], of: str = "h") -> Callable[[], nn.Module]:
    def made() -> nn.Module:
        cell = Cell()
        change(cell.get_submodule(of))
        return cell

    return made


def compiled_in_place() -> nn.Module:
    cell = Cell()
    cell.compile()
    return cell


MADE: dict[str, Callable[[], nn.Module]] = {
    "weight_norm": with_weight(parametrizations.weight_norm),
    "spectral_norm": with_weight(parametrizations.spectral_norm),
    "orthogonal": with_weight(parametrizations.orthogonal),
    "own_parametrization": with_weight(
        lambda linear: parametrize.register_parametrization(linear, "weight", Symmetric())
    ),
    "older_weight_norm": with_weight(nn.utils.weight_norm, "i"),
    "older_spectral_norm": with_weight(nn.utils.spectral_norm, "i"),
    "pruned": with_weight(lambda linear: prune.random_unstructured(linear, "weight", 0.5)),
    "non_leaf": Computed,
    "compiled": lambda: torch.compile(Cell()),
    "compiled_empty": lambda: torch.compile(Empty()),
    "compiled_in_place": compiled_in_place,
    "compiled_inside": lambda: Inside(torch.compile(Cell())),
    "parallel": lambda: nn.DataParallel(Cell()),
    "parallel_and_compiled": lambda: torch.compile(nn.DataParallel(Inside(torch.compile(Cell())))),
}


@pytest.mark.parametrize("name", MADE)
def test_a_copy_is_plain_and_leaves_the_module_alone(name: str) -> None:
    model = MADE[name]()
    kinds, names = [type(module) for module in model.modules()], [*model.state_dict()]
    numbers = copy.deepcopy(model.state_dict())
    twin = copied(model).eval()
    assert all(type(module).__module__ in {__name__, "torch.nn.modules.linear"} for module in twin.modules())
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for got, expected in zip(twin(X, H), model.eval()(X, H), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0)
    assert [type(module) for module in model.modules()] == kinds
    assert [*model.state_dict()] == names
    assert all(torch.equal(value, numbers[key]) for key, value in model.state_dict().items())


def test_what_is_shared_stays_shared() -> None:
    twin = copied(Inside(torch.compile(Cell())))
    assert twin.cell is twin.again


def test_a_weight_that_is_drawn_anew_is_not_taken_for_one() -> None:
    cell = Cell()
    parametrize.register_parametrization(cell.h, "weight", Noisy())
    assert parametrize.is_parametrized(copied(cell).h)


@pytest.mark.parametrize("name", ["weight_norm", "non_leaf", "compiled_empty"])
def test_such_modules_are_exported(name: str, tmp_path: Path) -> None:
    bundle = rnn_export.export(MADE[name]().eval(), (X, H), tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}
    assert bundle.manifest.model["class"].startswith(f"{__name__}.")


def test_whole_numbers_that_are_said_to_be_floats_are_floats_in_the_copy() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Hardtanh(0, 20))
    torch.jit.script(copied(model))
    assert type(model[1].max_val) is int
