"""Which parameters are matrices of products, and along which axes they are summed up."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.module.matrices import matrices


class Products(nn.Module):
    """Computes something with parameters of some shapes, called ``a``, ``b`` and so on."""

    def __init__(self, function: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        for name, shape in zip("abcd", shapes, strict=False):
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Compute it."""
        return self.function(x, *self.parameters())


WAYS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]], dict[str, tuple[int, ...]]]] = {
    "from the right": (lambda x, a: x @ a, [(4, 6)], {"a": (0,)}),
    "transposed": (functional.linear, [(6, 4)], {"a": (1,)}),
    "of one output": (functional.linear, [(1, 4)], {"a": (1,)}),
    "from the left": (lambda x, a: (a @ x.mT).mT, [(6, 4)], {"a": (1,)}),
    "side by side": (lambda x, a, b: x @ torch.cat([a, b], 1), [(4, 6), (4, 2)], {"a": (0,), "b": (0,)}),
    "below each other": (lambda x, a, b: x @ torch.cat([a, b]), [(1, 6), (3, 6)], {"b": (0,)}),
    "cut": (lambda x, a: (x @ a.chunk(2, 1)[0]) * (x @ a.chunk(2, 1)[1]), [(4, 6)], {"a": (0,)}),
    "of heads": (lambda x, a: torch.einsum("tbi,ihd->tbhd", x, a), [(4, 3, 2)], {"a": (0,)}),
    "summed over heads": (
        lambda x, a: torch.einsum("tbhd,hdo->tbo", x.unflatten(2, (2, 2)), a),
        [(2, 2, 6)],
        {"a": (0, 1)},
    ),
    "after each other": (lambda x, a, b: x @ a @ b, [(4, 6), (6, 3)], {"a": (0,), "b": (0,)}),
    "copied": (lambda x, a: x @ a.T.contiguous(), [(6, 4)], {"a": (1,)}),
    "a convolution": (lambda x, a: functional.conv1d(x.mT, a), [(6, 4, 2)], {"a": (1, 2)}),
    "transposed convolution": (lambda x, a: functional.conv_transpose1d(x.mT, a), [(4, 6, 2)], {"a": (0, 2)}),
    "a table": (lambda x, a: functional.embedding(x.long().abs() % 5, a), [(5, 3)], {"a": (1,)}),
    "a table by index": (lambda x, a: a[x.long().abs() % 5], [(5, 3)], {"a": (1,)}),
    "no product": (lambda x, a: x * a, [(1, 4)], {}),
    "computed": (lambda x, a: x @ (a * 2), [(4, 6)], {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_they_are_found_however_they_are_written(way: str) -> None:
    function, shapes, expected = WAYS[way]
    assert matrices(Products(function, *shapes), (torch.randn(5, 2, 4),), {}) == expected


def test_a_first_state_that_is_multiplied_is_none() -> None:
    def step(x: Tensor, first: Tensor, weights: Tensor) -> Tensor:
        return x + first.expand(2, 4) @ weights

    assert matrices(Products(step, (1, 4), (4, 4)), (torch.randn(5, 2, 4),), {}) == {"b": (0,)}


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_of_torch(kind: Callable[..., nn.Module]) -> None:
    layer = kind(4, 6, 2)
    weights = {name: (1,) for name, _ in layer.named_parameters() if name.startswith("weight")}
    with torch.no_grad():
        assert matrices(layer.eval(), (torch.randn(5, 2, 4),), {}) == weights
    assert len(weights) == 4


def test_a_table_that_is_the_output_layer_as_well_is_one_matrix() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.outputs = nn.Embedding(7, 4), nn.Linear(4, 7)
            self.outputs.weight = self.table.weight

        def forward(self, ids: Tensor) -> Tensor:
            logits: Tensor = self.outputs(self.table(ids))
            return logits

    assert matrices(Tied(), (torch.zeros(3, 2, dtype=torch.int64),), {}) == {"table.weight": (1,)}
