"""Calls without an axis for the batch are exported with one, if the module takes it."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.errors import ExportWarning, InputError
from rnn_export.module.inspection import inspect_export


class Classifier(nn.Module):
    """Layers of PyTorch, which take one row or several."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru, self.head = nn.Embedding(9, 4), nn.GRU(4, 5), nn.Linear(5, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.gru(self.embed(tokens))[1][0])


PAIR = (torch.zeros(2, 5), torch.zeros(2, 5))
CALLS = {
    "time first": (nn.GRU(4, 5), (torch.randn(7, 4),), ("time", "batch", 4), [(1, "batch", 5)]),
    "batch first": (
        nn.GRU(4, 5, batch_first=True),
        (torch.randn(7, 4),),
        ("batch", "time", 4),
        [(1, "batch", 5)],
    ),
    "a state": (nn.LSTM(4, 5, 2), (torch.randn(7, 4), PAIR), ("time", "batch", 4), [(2, "batch", 5)] * 2),
    "tokens": (Classifier(), (torch.randint(9, (7,)),), ("time", "batch"), [(1, "batch", 5)]),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_files_have_an_axis_for_the_batch(name: str) -> None:
    model, args, shape, state = CALLS[name]
    with pytest.warns(ExportWarning, match=r"is called without an axis for the batch. Its files have one:"):
        signature = inspect_export(model.eval(), args).signature
    assert signature.inputs[0].shape == shape
    assert [leaf.shape for leaf in signature.state] == state
    assert signature.streamable


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*without an axis for the batch:rnn_export.errors.ExportWarning")
def test_the_file_gives_each_row_what_the_module_gives_it_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Classifier().eval()
    bundle = rnn_export.export(model, torch.randint(9, (7,)), tmp_path / "b")
    session = onnxruntime.InferenceSession(str(bundle.folder / "model.onnx"))
    tokens = torch.randint(9, (11, 5))
    [start] = bundle.signature.initial_state(5)
    [got] = session.run(["outputs"], {"inputs": tokens.numpy(), "state_0": start})
    with torch.no_grad():
        want = [model(row).numpy() for row in tokens.unbind(1)]
    np.testing.assert_allclose(got, np.stack(want), atol=1e-6)


class ByHand(nn.Module):
    """Multiplies matrices with vectors: it takes one row alone."""

    def __init__(self) -> None:
        super().__init__()
        self.W, self.U = nn.Parameter(torch.randn(5, 4)), nn.Parameter(torch.randn(5, 5))

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = torch.zeros(5), []
        for x_t in x:
            h = torch.tanh(self.W @ x_t + self.U @ h)
            outputs.append(h)
        return torch.stack(outputs)


class Lookup(ByHand):
    """The same of token ids."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.W.t()[x % 4] @ self.W)


@pytest.mark.parametrize(
    ("make", "example"), [(ByHand, torch.randn(7, 4)), (Lookup, torch.randint(4, (7,)))], ids=["", "tokens"]
)
def test_one_that_takes_a_row_alone_is_told_what_to_do(make: type[nn.Module], example: Tensor) -> None:
    with pytest.raises(
        InputError, match=r"an axis for time and one for the batch.* Add the axis of the batch.* a row alone"
    ):
        inspect_export(make().eval(), example)
