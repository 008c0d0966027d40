"""Complex numbers are pairs of real ones in every file; what ``torch.vmap`` runs leaves the batch free."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.bundle.layout import MODEL_C, MODEL_PT
from rnn_export.capture import step, traceable
from rnn_export.errors import ExportWarning
from rnn_export.module import eager
from rnn_export.module.inspection import inspect_export
from rnn_export.program.quiet import quiet

H = 6
FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, w: x + w,
    "subtract": lambda x, w: 2 - x - w.real,
    "multiply": lambda x, w: x * w * 1j,
    "divide": lambda x, w: x / w + 1 / x + x / 3,
    "exp": lambda x, w: torch.exp(x) + torch.exp(w.real + 0j),
    "less one": lambda x, w: torch.exp(x) - torch.ones(6) - (torch.exp(w) - 1),
    "power": lambda x, w: x**3,
    "conj": lambda x, w: x.conj() * w,
    "abs": lambda x, w: x.abs() + 0 * w,
    "product of matrices": lambda x, w: x @ w.reshape(2, 3).mT @ w.reshape(2, 3),
    "einsum": lambda x, w: torch.einsum("bi,i->bi", x, w[:3]),
    "linear": lambda x, w: nn.functional.linear(x, w.expand(3, 6)[:, :3], w[:3]),
    "where": lambda x, w: torch.where(x.real > 0, x, 1j * w[:3]),
    "cat": lambda x, w: torch.cat([x, x.real, torch.stack([x[:, 0], x[:, 1], x[:, 2]], 1)], 1),
    "move": lambda x, w: x.flip(1).t().unsqueeze(0).repeat(2, 1, 1).sum(0).t()[:, 1:],
    "make": lambda x, w: torch.zeros_like(x) + torch.ones(3, dtype=x.dtype) + torch.full((3,), 2 - 1j) - x,
    "convert": lambda x, w: x.real.to(torch.complex64) * x,
}


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(H, dtype=torch.complex64))

    def forward(self, *given: Tensor) -> Tensor:
        x = torch.view_as_complex(given[0])
        return torch.view_as_real(self.function(x, self.weight).to(torch.complex64))


@pytest.mark.several(8)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_graph_of_pairs_gives_the_same(name: str) -> None:
    torch.manual_seed(0)
    columns = 3 if name in WIDE else H
    model, x = Function(FUNCTIONS[name]).eval(), torch.randn(5, columns, 2)
    for computed in (True, False):
        with quiet():
            traced = traceable.trace(model, [x], [{0: torch.export.Dim("batch")}], computed=computed)
        values = [node.meta.get("val") for node in traced.graph.nodes]
        assert not any(isinstance(value, Tensor) and value.is_complex() for value in values)
        with torch.no_grad():
            torch.testing.assert_close(traced.module()(x), model(x))


WIDE = ("product of matrices", "einsum", "linear", "where", "cat", "move", "make")


@pytest.mark.parametrize("part", [torch.real, torch.imag])
def test_exponentials_less_one_keep_their_digits(part: Callable[[Tensor], Tensor]) -> None:
    """Of complex numbers and of real ones: ``exp`` itself is right to a part in 10^7 of 1."""

    def function(x: Tensor, w: Tensor) -> Tensor:
        return torch.exp(x * 1e-5) - 1 + (torch.exp(x.imag * 1e-5) + -1)

    x = torch.randn(50, H, 2)
    with quiet():
        traced = traceable.trace(Function(function).eval(), [x], [{}])
    got, want = traced.module()(x), function(torch.view_as_complex(x.double()), x)
    torch.testing.assert_close(part(torch.view_as_complex(got)).double(), part(want), rtol=1e-5, atol=1e-12)


def test_a_function_without_a_rule_is_named() -> None:
    with (
        quiet(),
        pytest.raises(NotImplementedError, match=r"aten.tanh.default of complex numbers has no rule"),
    ):
        traceable.trace(Function(lambda x, w: torch.tanh(x)), [torch.randn(5, H, 2)], [{}])


def test_weights_stay_complex_in_float64() -> None:
    model = Function(FUNCTIONS["add"])
    assert eager._converted(model, torch.float64).weight.dtype == torch.complex128


class EachRow(nn.Module):
    """Runs the rows of a batch one by one, and writes into what one of them made."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))

    def forward(self, *given: Tensor) -> Tensor:
        def row(own: Tensor) -> Tensor:
            made = torch.vmap(lambda step: step @ self.weight)(own)
            made[0] = made[0] + own.sum()
            return made

        return torch.vmap(row)(given[0])


def test_vmap_leaves_the_batch_free() -> None:
    model = EachRow().eval()
    traced = traceable.trace(model, [torch.randn(3, 2, 4)], [{0: torch.export.Dim("batch")}])
    for rows in (1, 5):
        x = torch.randn(rows, 2, 4)
        with torch.no_grad():
            torch.testing.assert_close(traced.module()(x), model(x))


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y


def test_operators_of_a_layer_take_no_rows() -> None:
    with quiet():
        compiled = traceable.scripted_operators(Layer().eval(), [torch.randn(1, 3, 4)])
    assert "mkldnn" not in str(compiled.graph)
    assert compiled(torch.randn(1, 0, 4)).shape == (1, 0, 3)  # three as in the example are the units


class LinearRecurrence(nn.Module):
    """A diagonal recurrence of complex numbers, whose state may be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.size, self.angle = nn.Parameter(torch.rand(H)), nn.Parameter(3 * torch.rand(H))
        self.B = nn.Parameter(torch.randn(H, 4, dtype=torch.complex64) / 3)
        self.C = nn.Parameter(torch.randn(3, H, dtype=torch.complex64) / 3)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        factor = torch.exp(torch.complex(-torch.exp(self.size), self.angle))
        h = torch.zeros(x.shape[1], H, dtype=self.B.dtype) if state is None else state
        outputs = []
        for x_t in x:
            h = factor * h + x_t.to(self.B.dtype) @ self.B.T
            outputs.append((h @ self.C.T).real)
        return torch.stack(outputs), h


class Hidden(LinearRecurrence):
    """Keeps its state to itself."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class RowByRow(LinearRecurrence):
    """A state space model in continuous time: rows by ``torch.vmap``, short steps, no loop over rows."""

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        before = torch.zeros(x.shape[1], H, dtype=self.B.dtype) if state is None else state
        step = torch.full((x.shape[1],), 0.01)
        return torch.vmap(self._row, in_dims=(1, 0, 0), out_dims=(1, 0))(x, before, step)

    def _row(self, x: Tensor, h: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        pole = torch.complex(-self.size, self.angle)
        kept = torch.exp(pole * step)
        taken = (1 / pole * (kept - torch.ones(H)))[:, None] * self.B
        outputs = []
        for x_t in x:
            h = kept * h + taken @ x_t.to(self.B.dtype)
            outputs.append((self.C @ h).real)
        return torch.stack(outputs), h


class CellOfEachRow(nn.Module):
    """A cell that takes one row, and a loop over time that calls it for all of them."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(H, H, dtype=dtype) / 9), nn.Parameter(torch.randn(H, 4))

    def _row(self, x: Tensor, h: Tensor) -> Tensor:
        return self.w @ h + torch.exp(self.v @ x / 9) - 1

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t in x:
            h = torch.vmap(self._row)(x_t, h)
            outputs.append(h.real)
        return torch.stack(outputs), h


@pytest.mark.filterwarnings("ignore:.*complex numbers:rnn_export.errors.ExportWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_a_cell_of_each_row_is_traced(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = CellOfEachRow(dtype).eval()
    program = step.capture(inspect_export(model, (torch.randn(7, 3, 4), torch.zeros(3, H, dtype=dtype))))
    session = onnxruntime.InferenceSession(program.proto().SerializeToString())
    x, h = torch.randn(11, 5, 4), torch.randn(5, H, dtype=dtype)
    state = torch.view_as_real(h) if dtype.is_complex else h
    got, _ = session.run(None, {"inputs": x.numpy(), "state_0": state.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(got, model(x, h)[0].numpy(), atol=1e-5)


X = torch.randn(7, 3, 4)


@pytest.mark.parametrize(
    "args", [(X,), (X, torch.zeros(3, H, dtype=torch.complex64))], ids=["without", "with"]
)
def test_a_complex_state_is_one_of_pairs(args: tuple[Tensor, ...]) -> None:
    torch.manual_seed(0)
    with pytest.warns(ExportWarning, match="takes or gives complex numbers. In its files each is two"):
        signature = inspect_export(LinearRecurrence().eval(), args).signature
    assert [leaf.shape for leaf in signature.state] == [("batch", H, 2)]
    assert signature.streamable


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*complex numbers:rnn_export.errors.ExportWarning")
@pytest.mark.parametrize(("make", "leaves"), [(LinearRecurrence, 1), (Hidden, 2), (RowByRow, 1)])
def test_every_file_of_it_is_right(make: Callable[[], Any], leaves: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = make().eval()
    bundle = rnn_export.export(model, X, tmp_path / "b")
    assert {MODEL_C, MODEL_PT} <= bundle.manifest.files.keys()
    assert len(bundle.signature.state) == leaves
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    x = torch.randn(11, 5, 4)
    names = [leaf.name for leaf in bundle.signature.state]
    feeds = dict(zip(names, bundle.signature.initial_state(5), strict=True))
    [got] = session.run(["outputs"], {"inputs": x.numpy(), **feeds})
    with torch.no_grad():
        want = model(x)
    np.testing.assert_allclose(got, (want[0] if leaves == 1 else want).numpy(), atol=1e-5)
