"""Small nets that people write, for the case table: other states, other wrappings, other arithmetic."""

import torch
from torch import nn


class TensorState(nn.Module):
    """The state is one bare tensor; helper methods take part in the step."""

    def __init__(self, size):
        super().__init__()
        self.inner = nn.Linear(size, size)
        self.outer = nn.Linear(size, size)

    def step(self, X, H):
        return torch.tanh(self.inner(X) + self.outer(H))

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = self.step(X, state)
            outputs.append(state)
        return torch.stack(outputs), state


class ListState(nn.Module):
    """The state is a list; its leaves are as wide as the inputs and have an axis more than usual."""

    def forward(self, inputs: torch.Tensor, state: list[torch.Tensor]):
        total, peak = state
        outputs = []
        for X in inputs:
            total = 0.9 * total + X[:, :, None] * self.scale
            peak = torch.maximum(0.5 * peak, X)
            outputs.append(total.sum(-1) + peak)
        return torch.stack(outputs), [total, peak]

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, -1.0]))


class LayersFirst(nn.Module):
    """The state of two layers is one tensor, as torch.nn has it: ``[layers, B, H]``."""

    def __init__(self, inputs, size):
        super().__init__()
        self.W_x = nn.Parameter(torch.randn(inputs, size))
        self.W_1 = nn.Parameter(torch.randn(size, size))
        self.W_2 = nn.Parameter(torch.randn(size, size))

    def forward(self, inputs, state):
        low, high = state[0], state[1]
        outputs = []
        for X in inputs:
            low = torch.tanh(torch.matmul(X, self.W_x) + torch.matmul(low, self.W_1))
            high = torch.tanh(low + torch.matmul(high, self.W_2))
            outputs.append(high)
        return torch.stack(outputs), torch.stack([low, high])


class StartsElsewhere(nn.Module):
    """The initial state is not zero, and a time step counter counts in int64."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.randn(size, size) * 0.3)

    def forward(self, inputs, state):
        H, steps = state
        outputs = []
        for X in inputs:
            H = torch.tanh(X + torch.matmul(H, self.weight))
            steps = steps + 1
            outputs.append(H / steps.clamp(min=1).to(H.dtype))
        return torch.stack(outputs), (H, steps)

    def begin_state(self, batch_size, device):
        start = torch.linspace(-1, 1, self.size, dtype=self.weight.dtype, device=device)
        return start.repeat(batch_size, 1), torch.zeros((batch_size, 1), dtype=torch.int64, device=device)


class LooksAhead(nn.Module):
    """The outputs hold the mean over all time steps: not a net that can be cut."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, inputs, state):
        outputs, state = self.net(inputs, state)
        return outputs + inputs.mean(), state
