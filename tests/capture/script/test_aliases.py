"""What changes in place where others see it has no form in ONNX: the line is named."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.capture.script.aliases import line_that_changes_a_list, line_that_changes_an_entry
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


class DecaysEarly(Decays):
    """No two time steps do the same."""

    def forward(self, inputs, state):
        outputs = []
        for t in range(inputs.shape[0]):
            state.mul_(0.9 / (t + 1))
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


class ReadsInTheLoop(nn.Module):
    """Adds to an entry of the inputs, and reads the inputs as they are by then."""

    def forward(self, inputs):
        outputs = []
        for x_t in inputs.unbind(0):
            x_t.add_(0.1)
            outputs.append(x_t + inputs[0])
        return torch.stack(outputs)


class ReadsInTheEnd(nn.Module):
    def forward(self, inputs):
        for x_t in inputs.unbind(0):
            x_t.add_(0.1)
        return (inputs != 0).any(-1)


class ReadsBefore(nn.Module):
    def forward(self, inputs):
        total = inputs * 2
        for x_t in inputs.unbind(0):
            x_t.add_(0.1)
            total = total + x_t
        return total


class ReadsEntriesAlone(nn.Module):
    def forward(self, inputs):
        outputs = [torch.zeros(inputs.size(1), inputs.size(2))]
        for x_t in inputs.unbind(0):
            x_t.add_(0.1)
            a, b = x_t.chunk(2, -1)
            outputs.append(torch.cat([b, a], -1) + outputs[-1])
        return torch.stack(outputs)


@pytest.mark.parametrize(
    ("find", "net", "line"),
    [
        (line_that_changes_a_list, Decays, "state.mul_(0.9)"),
        (line_that_changes_a_list, DecaysInPart, "state[:, :4] *= 0.9"),
        (line_that_changes_a_list, DecaysBefore, ""),
        (line_that_changes_a_list, DecaysACopy, ""),
        (line_that_changes_an_entry, ReadsInTheLoop, "x_t.add_(0.1)"),
        (line_that_changes_an_entry, ReadsInTheEnd, "x_t.add_(0.1)"),
        (line_that_changes_an_entry, ReadsBefore, ""),
        (line_that_changes_an_entry, ReadsEntriesAlone, ""),
    ],
)
def test_the_line_that_writes_into_what_is_read_elsewhere_is_named(
    find: Callable[[object], str], net: type[nn.Module], line: str
) -> None:
    with without_warnings(DeprecationWarning):
        found = find(torch.jit.script(net()).inlined_graph)
    assert (line in found) if line else (found == "")


def test_such_a_module_is_refused_with_its_line(tmp_path) -> None:
    with pytest.raises(ScriptError, match=r"state\.mul_\(0\.9 .*test_aliases.py:\d+\) changes in place"):
        rnn_export.export(
            DecaysEarly().eval(), (torch.randn(7, 3, 4), torch.zeros(3, 8)), tmp_path / "bundle"
        )
