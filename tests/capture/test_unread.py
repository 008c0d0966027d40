"""Slices of joined tensors read no more than they give."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from rnn_export.capture.roll.unread import without_unread
from rnn_export.program.quiet import quiet


class Module(nn.Module):
    """Joins what it makes of two tensors, and gives a part of it."""

    def __init__(self, run: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return self.run(one.tanh(), other.exp())


# What is given, and the operators that are left.
CASES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], list[str]]] = {
    "front": (lambda a, b: torch.cat([a, b], -1)[..., :5], ["tanh", "cat"]),
    "behind": (lambda a, b: torch.cat([a, b], 1).narrow(1, 5, 5), ["exp", "cat"]),
    "from the end": (lambda a, b: torch.cat([a, b], 1)[:, -5:], ["exp", "cat"]),
    "stacked": (lambda a, b: torch.stack([a, b])[1:], ["exp", "stack"]),
    "some of both": (lambda a, b: torch.cat([a, b], 1)[:, 3:8], ["tanh", "exp", "cat", "slice"]),
    "another axis": (lambda a, b: torch.cat([a, b], 0)[:, :4], ["tanh", "exp", "cat", "slice"]),
    "every other": (lambda a, b: torch.cat([a, b], 1)[:, ::5], ["tanh", "exp", "cat", "slice"]),
}


@pytest.mark.parametrize("name", [*CASES])
def test_what_is_not_read_is_left_out(name: str) -> None:
    run, left = CASES[name]
    given = torch.randn(2, 5), torch.randn(2, 5)
    want = run(given[0].tanh(), given[1].exp())
    with quiet():
        traced = torch.export.export(Module(run), given).run_decompositions({}).module(check_guards=False)
    without_unread(traced.graph)
    operators = [
        str(node.target.overloadpacket.__name__) for node in traced.graph.nodes if node.op == "call_function"
    ]
    assert [each for each in operators if each != "slice" or "slice" in left] == left
    torch.testing.assert_close(fx.GraphModule(traced, traced.graph)(*given), want)
