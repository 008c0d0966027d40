"""The plain recurrent net (Elman, 1990)."""

import torch
from torch import Tensor, nn


class RNNScratch(nn.Module):
    r"""An Elman net with a linear output layer, over a whole sequence.

    .. math::
        H_t &= \tanh(X_t W_{xh} + H_{t-1} W_{hh} + b_h) \\
        Y_t &= H_t W_{hq} + b_q

    ``forward(inputs, state)`` takes ``inputs`` of shape ``[T, B, num_inputs]`` and the state ``(H,)`` of
    shape ``[B, num_hiddens]``; it returns outputs of shape ``[T, B, num_outputs]`` and the new state.
    Weights are drawn from a normal distribution of standard deviation ``sigma``, biases are zero.

    Source: J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990).

    >>> net = RNNScratch(num_inputs=16, num_hiddens=32, num_outputs=1)
    >>> outputs, (H,) = net(torch.zeros(100, 2, 16), net.begin_state(2, torch.device("cpu")))
    >>> outputs.shape, H.shape
    (torch.Size([100, 2, 1]), torch.Size([2, 32]))
    """

    def __init__(self, num_inputs: int, num_hiddens: int, num_outputs: int, sigma: float = 0.01) -> None:
        super().__init__()
        self.num_hiddens = num_hiddens
        self.W_xh = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hh = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_h = nn.Parameter(torch.zeros(num_hiddens))
        self.W_hq = nn.Parameter(torch.randn(num_hiddens, num_outputs) * sigma)
        self.b_q = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, inputs: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        """Run over all time steps of ``inputs [T, B, num_inputs]`` from ``state = (H [B, num_hiddens],)``."""
        (H,) = state
        outputs = []
        for X in inputs:
            H = torch.tanh(torch.matmul(X, self.W_xh) + torch.matmul(H, self.W_hh) + self.b_h)
            outputs.append(torch.matmul(H, self.W_hq) + self.b_q)
        return torch.stack(outputs, dim=0), (H,)

    @torch.jit.export
    def begin_state(self, batch_size: int, device: torch.device) -> tuple[Tensor]:
        """Give the initial state ``(H,)``: zeros of shape ``[batch_size, num_hiddens]``."""
        return (torch.zeros((batch_size, self.num_hiddens), dtype=self.W_hh.dtype, device=device),)
