"""What a trace of PyTorch writes out that its exporter to ONNX leaves out."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnn_export.capture.traceable import scripted

WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "x * mask": lambda x, mask: x * mask,
    "mask * x": lambda x, mask: mask * x,
    "x.mul(mask)": lambda x, mask: x.mul(mask),
    "x *= mask": lambda x, mask: x.clone().mul_(mask),
    "x + ~mask": lambda x, mask: x + ~mask,
    "x / mask": lambda x, mask: x / mask,
    "mask.sum() + mask": lambda x, mask: mask.sum() + mask + x.long(),
}


class Way(nn.Module):
    def __init__(self, way: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.way(x, mask)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_truth_values_among_numbers_are_cast(way: str) -> None:
    x, mask = torch.randn(4, 3), torch.arange(12).view(4, 3) % 2 == 0
    traced = scripted(Way(WAYS[way]), [x, mask])
    arithmetic = [
        node
        for node in traced.graph.nodes()
        if node.kind() in {f"aten::{n}" for n in ("mul", "mul_", "add", "div")}
    ]
    kinds = {value.type().scalarType() for node in arithmetic for value in [*node.inputs()][:2]}
    assert arithmetic
    assert "Bool" not in kinds
    torch.testing.assert_close(traced(x, mask), WAYS[way](x, mask), rtol=0, atol=0)
