"""The gated recurrent unit (Cho et al., 2014)."""

import torch
from torch import Tensor, nn


class GRUScratch(nn.Module):
    r"""A gated recurrent net with a linear output layer, over a whole sequence.

    .. math::
        Z_t &= \sigma(X_t W_{xz} + H_{t-1} W_{hz} + b_z) \\
        R_t &= \sigma(X_t W_{xr} + H_{t-1} W_{hr} + b_r) \\
        \tilde H_t &= \tanh(X_t W_{xh} + (R_t \odot H_{t-1}) W_{hh} + b_h) \\
        H_t &= Z_t \odot H_{t-1} + (1 - Z_t) \odot \tilde H_t \\
        Y_t &= H_t W_{hq} + b_q

    ``forward(inputs, state)`` takes ``inputs`` of shape ``[T, B, num_inputs]`` and the state ``(H,)`` of
    shape ``[B, num_hiddens]``; it returns outputs of shape ``[T, B, num_outputs]`` and the new state.
    Weights are drawn from a normal distribution of standard deviation ``sigma``, biases are zero.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.
    """

    def __init__(self, num_inputs: int, num_hiddens: int, num_outputs: int, sigma: float = 0.01) -> None:
        super().__init__()
        self.num_hiddens = num_hiddens
        self.W_xz = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hz = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_z = nn.Parameter(torch.zeros(num_hiddens))
        self.W_xr = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hr = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_r = nn.Parameter(torch.zeros(num_hiddens))
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
            Z = torch.sigmoid(torch.matmul(X, self.W_xz) + torch.matmul(H, self.W_hz) + self.b_z)
            R = torch.sigmoid(torch.matmul(X, self.W_xr) + torch.matmul(H, self.W_hr) + self.b_r)
            H_tilde = torch.tanh(torch.matmul(X, self.W_xh) + torch.matmul(R * H, self.W_hh) + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(torch.matmul(H, self.W_hq) + self.b_q)
        return torch.stack(outputs, dim=0), (H,)

    @torch.jit.export
    def begin_state(self, batch_size: int, device: torch.device) -> tuple[Tensor]:
        """Give the initial state ``(H,)``: zeros of shape ``[batch_size, num_hiddens]``."""
        return (torch.zeros((batch_size, self.num_hiddens), dtype=self.W_hh.dtype, device=device),)
