"""Where ONNX Runtime's sigmoid is too coarse for every form, one is added that has the formula."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.passes.choose import EXACT


class Seldom(nn.Module):
    """Gives small probabilities, as detectors of what seldom happens do."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t in x:
            h = 0.5 * h + x_t
            outputs.append(torch.sigmoid(h - 10))
        return torch.stack(outputs), h


@pytest.mark.exhaustive
def test_small_probabilities_keep_their_digits(tmp_path: Path) -> None:
    bundle = rnn_export.export(Seldom().eval(), (torch.randn(4, 3, 2), torch.zeros(3, 2)), tmp_path / "b")
    assert bundle.manifest.form == EXACT
    assert bundle.signature.streamable
    x, h = torch.randn(6, 2, 2), torch.zeros(2, 2)
    outputs, _ = rnn_export.load(bundle.folder)(x, (h,))
    np.testing.assert_allclose(outputs, Seldom()(x, h)[0].numpy(), rtol=1e-6)
