"""The names of local variables in which a function of the user's holds a state."""

import sys
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.module.local_names import local_names

X = torch.arange(12.0).view(4, 3)


class Pair(nn.Module):
    """``y`` is ``h`` as well; the cell, a function of the user's too, calls them otherwise."""

    def cell(self, x: Tensor, fast: Tensor, slow: Tensor) -> tuple[Tensor, Tensor]:
        fast, slow = torch.tanh(x + fast), 0.9 * slow + x
        return fast, slow

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = c = torch.zeros(3)
        outputs = []
        for x_t in x:
            h, c = self.cell(x_t, h, c)
            y = h
            outputs.append(y)
        return torch.stack(outputs), (h, c)


def test_a_state_is_called_as_the_outermost_function_calls_it() -> None:
    net = Pair()
    _, (h, c) = net(X)
    assert local_names(lambda: net(X), [h, c]) == ("h", "c")
    assert local_names(lambda: net(X), [c, h]) == ("c", "h")


def test_what_no_variable_holds_or_cannot_be_told_apart_has_no_name() -> None:
    net = Pair()
    _, (h, c) = net(X)
    assert local_names(lambda: net(X), [h, c + 1]) is None
    assert local_names(lambda: net(X), [h, h.clone()]) is None


def test_who_watches_besides_is_left_alone() -> None:
    def watching(*_: Any) -> None: ...

    before = sys.getprofile()
    sys.setprofile(watching)
    try:
        local_names(lambda: Pair()(X), [])
        assert sys.getprofile() is watching
    finally:
        sys.setprofile(before)
