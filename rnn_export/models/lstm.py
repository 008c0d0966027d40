"""The long short-term memory (Hochreiter and Schmidhuber, 1997; with the forget gate of Gers, 2000)."""

import torch
from torch import Tensor, nn


class LSTMScratch(nn.Module):
    r"""A long short-term memory with a linear output layer, over a whole sequence.

    .. math::
        I_t &= \sigma(X_t W_{xi} + H_{t-1} W_{hi} + b_i) \\
        F_t &= \sigma(X_t W_{xf} + H_{t-1} W_{hf} + b_f) \\
        O_t &= \sigma(X_t W_{xo} + H_{t-1} W_{ho} + b_o) \\
        \tilde C_t &= \tanh(X_t W_{xc} + H_{t-1} W_{hc} + b_c) \\
        C_t &= F_t \odot C_{t-1} + I_t \odot \tilde C_t \\
        H_t &= O_t \odot \tanh(C_t) \\
        Y_t &= H_t W_{hq} + b_q

    ``forward(inputs, state)`` takes ``inputs`` of shape ``[T, B, num_inputs]`` and the state ``(H, C)``,
    both of shape ``[B, num_hiddens]``; it returns outputs of shape ``[T, B, num_outputs]`` and the new
    state. Weights are drawn from a normal distribution of standard deviation ``sigma``, biases are zero.

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997);
    F. Gers et al., "Learning to forget", Neural Computation 12 (2000).
    """

    def __init__(self, num_inputs: int, num_hiddens: int, num_outputs: int, sigma: float = 0.01) -> None:
        super().__init__()
        self.num_hiddens = num_hiddens
        self.W_xi = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hi = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_i = nn.Parameter(torch.zeros(num_hiddens))
        self.W_xf = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hf = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_f = nn.Parameter(torch.zeros(num_hiddens))
        self.W_xo = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_ho = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_o = nn.Parameter(torch.zeros(num_hiddens))
        self.W_xc = nn.Parameter(torch.randn(num_inputs, num_hiddens) * sigma)
        self.W_hc = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * sigma)
        self.b_c = nn.Parameter(torch.zeros(num_hiddens))
        self.W_hq = nn.Parameter(torch.randn(num_hiddens, num_outputs) * sigma)
        self.b_q = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over ``inputs [T, B, num_inputs]`` from ``state = (H, C)``, each ``[B, num_hiddens]``."""
        H, C = state
        outputs = []
        for X in inputs:
            I = torch.sigmoid(torch.matmul(X, self.W_xi) + torch.matmul(H, self.W_hi) + self.b_i)  # noqa: E741
            F = torch.sigmoid(torch.matmul(X, self.W_xf) + torch.matmul(H, self.W_hf) + self.b_f)
            O = torch.sigmoid(torch.matmul(X, self.W_xo) + torch.matmul(H, self.W_ho) + self.b_o)  # noqa: E741
            C_tilde = torch.tanh(torch.matmul(X, self.W_xc) + torch.matmul(H, self.W_hc) + self.b_c)
            C = F * C + I * C_tilde
            H = O * torch.tanh(C)
            outputs.append(torch.matmul(H, self.W_hq) + self.b_q)
        return torch.stack(outputs, dim=0), (H, C)

    @torch.jit.export
    def begin_state(self, batch_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Give the initial state ``(H, C)``: zeros of shape ``[batch_size, num_hiddens]`` each."""
        zeros = torch.zeros((batch_size, self.num_hiddens), dtype=self.W_hc.dtype, device=device)
        return zeros, zeros.clone()
