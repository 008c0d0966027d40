"""A list that changes as the loop goes on has no form in ONNX: the line is named."""

import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.capture.script.aliases import line_that_changes_a_list
from rnn_export.errors import ScriptError
from rnn_export.exclusive import without_warnings


class Decays(nn.Module):
    """What it has put out is smaller after the next step."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Linear(4, 8)

    def forward(self, inputs, state):
        outputs = []
        for t in range(inputs.shape[0]):
            state.mul_(0.9)
            state = torch.relu(self.x(inputs[t]) + state)
            outputs.append(state)
        return torch.stack(outputs), state


class DecaysInPart(Decays):
    def forward(self, inputs, state):
        outputs = []
        for t in range(inputs.shape[0]):
            state[:, :4] *= 0.9
            state = torch.relu(self.x(inputs[t]) + state)
            outputs.append(state)
        return torch.stack(outputs), state


class DecaysBefore(Decays):
    """It puts out what it has written into."""

    def forward(self, inputs, state):
        outputs = []
        for t in range(inputs.shape[0]):
            state = torch.relu(self.x(inputs[t]) + state)
            state.mul_(0.9)
            outputs.append(state)
        return torch.stack(outputs), state


class DecaysACopy(Decays):
    def forward(self, inputs, state):
        outputs = []
        for t in range(inputs.shape[0]):
            state.mul_(0.9)
            state = torch.relu(self.x(inputs[t]) + state)
            outputs.append(state.clone())
        return torch.stack(outputs), state


@pytest.mark.parametrize(
    ("net", "line"),
    [
        (Decays, "state.mul_(0.9)"),
        (DecaysInPart, "state[:, :4] *= 0.9"),
        (DecaysBefore, ""),
        (DecaysACopy, ""),
    ],
)
def test_the_line_that_writes_into_what_was_put_out_is_named(net: type[nn.Module], line: str) -> None:
    with without_warnings(DeprecationWarning):
        found = line_that_changes_a_list(torch.jit.script(net()).inlined_graph)
    assert (line in found) if line else (found == "")


def test_such_a_module_is_refused_with_its_line(tmp_path) -> None:
    with pytest.raises(ScriptError, match=r"state\.mul_\(0\.9\) .*test_aliases.py:\d+\) changes in place"):
        rnn_export.export(Decays().eval(), (torch.randn(7, 3, 4), torch.zeros(3, 8)), tmp_path / "bundle")
