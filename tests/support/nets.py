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
        return outputs + inputs.mean((0, 2), keepdim=True), state


class Textbook(nn.Module):
    """Takes the state as ``(H,)`` and returns it as ``H``; the outputs are a list."""

    def __init__(self):
        super().__init__()
        self.W_xh = nn.Parameter(torch.randn(4, 6))
        self.W_hh = nn.Parameter(torch.randn(6, 6))

    def forward(self, inputs, state):
        (H,) = state
        outputs = []
        for X in inputs:
            H = torch.tanh(torch.matmul(X, self.W_xh) + torch.matmul(H, self.W_hh))
            outputs.append(H * 2.0)
        return outputs, H


class OptionalState(nn.Module):
    """Begins with zeros when it is given no state, and returns the last output alone."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 6)
        self.outer = nn.Linear(6, 6)
        self.last = nn.Linear(6, 2)

    def forward(self, inputs: torch.Tensor, state: torch.Tensor | None = None):
        if state is None:
            state = torch.zeros(inputs.shape[1], 6, dtype=inputs.dtype)
        for X in inputs:
            state = torch.tanh(self.inner(X) + self.outer(state))
        return self.last(state), state


class Tagger(nn.Module):
    """What most people write: embedding, a recurrent layer of torch.nn, layer norm and a linear layer."""

    def __init__(self, layer):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.layer = layer
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 3)

    def forward(self, tokens, state=None):
        outputs, state = self.layer(self.embedding(tokens), state)
        return self.head(self.norm(outputs)), state


class Classifier(nn.Module):
    """Keeps the state to itself, and returns what it thinks after the last time step."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(6, 3)

    def forward(self, inputs):
        outputs, _ = self.layer(inputs)
        return self.head(outputs[:, -1])


class OutputsAlone(nn.Module):
    """Takes a state and does not return the new one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def begin_state(self, batch_size, device):
        return torch.zeros(batch_size, 4)

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = torch.tanh(X + torch.matmul(state, self.weight))
            outputs.append(state)
        return torch.stack(outputs)


class StateWithin(nn.Module):
    """The state is a variable inside of forward."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))

    def forward(self, inputs):
        H = torch.zeros(inputs.shape[1], 4, dtype=inputs.dtype)
        outputs = []
        for X in inputs:
            H = torch.tanh(X + torch.matmul(H, self.weight))
            outputs.append(H)
        return torch.stack(outputs)


class MinGRU(nn.Module):
    """Parallel over time in training, a fold all the same.

    h_t = (1 - z_t) h_{t-1} + z_t n_t, computed as a cumulative sum (Feng et al., Were RNNs all we needed?).
    """

    def __init__(self, inputs, size):
        super().__init__()
        self.gate = nn.Linear(inputs, size)
        self.candidate = nn.Linear(inputs, size)

    def forward(self, inputs, state):
        shares = torch.sigmoid(self.gate(inputs))
        kept = torch.log1p(-shares).cumsum(1)
        fresh = shares * self.candidate(inputs)
        outputs = kept.exp() * (state + (fresh * (-kept).exp()).cumsum(1))
        return outputs, outputs[:, -1:]


class Step(nn.Module):
    """One time step: an output, and a state of two parts."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x_t, state):
        H, C = self.cell(x_t, state)
        return self.head(H), (H, C)


class Decibels(nn.Module):
    """Its inputs are positive numbers of any size."""

    def __init__(self, inputs, size):
        super().__init__()
        self.inner = nn.Linear(inputs, size)
        self.outer = nn.Linear(size, size)

    def begin_state(self, batch_size, device):
        return torch.zeros(batch_size, self.outer.in_features, device=device)

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = torch.tanh(self.inner(0.1 * torch.log(X)) + self.outer(state))
            outputs.append(state)
        return torch.stack(outputs), state
