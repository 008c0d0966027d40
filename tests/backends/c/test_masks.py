"""A step that keeps some of its state: a mask of one number, one for each row, for each unit, or both."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.support.c_cells import assert_as_eager, built
from tests.support.c_programs import POISON, needs_compiler

pytestmark = needs_compiler
UNITS = 5
Mask = Callable[["Masked", Tensor, Tensor], Tensor]


class Masked(nn.Module):
    """``h = where(mask, cell(x, h), h)``; what is masked may also be read by others."""

    def __init__(self, mask: Mask, keep: str) -> None:
        super().__init__()
        self.mask, self.keep, self.cell = mask, keep, nn.GRUCell(3, UNITS)
        self.number = nn.Parameter(torch.tensor([0.3]))
        self.units = nn.Parameter(torch.randn(UNITS))

    def forward(self, inputs: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x in inputs:
            new, mask = self.cell(x[:, :3], h), self.mask(self, x, h)
            if self.keep == "where":
                h = torch.where(mask > 0, new, h)
            elif self.keep == "turned":
                h = torch.where(mask > 0, h, new)
            elif self.keep == "fill":
                h = new.masked_fill(mask > 0, 0.25)
            else:
                kept = (mask > 0).float()
                h = kept * new + (1 - kept) * h
            outputs.append(h)
        return torch.stack(outputs), h


MASKS: dict[str, Mask] = {
    "one number": lambda net, x, h: net.number,
    "row, sliced": lambda net, x, h: x[:, 3:4],
    "row, with an axis more": lambda net, x, h: x[:, 3][:, None],
    "row, computed": lambda net, x, h: x.sum(-1, keepdim=True),
    "row, of the state": lambda net, x, h: h[:, :1] + x[:, 3:4],
    "unit": lambda net, x, h: net.units,
    "unit, with an axis more": lambda net, x, h: net.units[None],
    "row and unit": lambda net, x, h: x[:, 3:8],
    "row and unit, computed": lambda net, x, h: x[:, 3:4] + net.units,
    "row and unit, of the state": lambda net, x, h: h - x[:, 3:4],
}


@pytest.mark.several(4)
@pytest.mark.parametrize("keep", ["where", "turned", "fill", "product"])
@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_keeps_what_it_keeps_in_eager(
    mask: str, keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", f"-O1 -DPLAIN_LOOPS {POISON}")
    torch.manual_seed(0)
    net = Masked(MASKS[mask], keep)
    call = built(net, (torch.randn(6, 2, 8), torch.zeros(2, UNITS)), tmp_path)
    for time, batch in ((1, 1), (9, 5)):
        assert_as_eager(net, call, (torch.randn(time, batch, 8), torch.randn(batch, UNITS)), 2e-5)
