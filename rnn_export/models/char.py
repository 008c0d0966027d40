"""A language model over characters."""

import torch
from torch import nn
from torch.nn import functional


class CharRNN(nn.Module):
    """A recurrent net that reads characters and predicts the next one.

    ``forward(inputs, state)`` takes token ids of shape ``[T, B]`` (int64, below ``vocabulary_size``) and the
    state of ``net``; it returns logits of shape ``[T, B, vocabulary_size]`` and the new state. ``net`` takes
    ``[T, B, vocabulary_size]``, here the tokens one-hot, and has as many outputs.

    Source: A. Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015).
    """

    def __init__(self, vocabulary_size: int, net: nn.Module) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.net = net
        self.one = nn.Buffer(torch.ones(()), persistent=False)  # it has the dtype that the module is moved to

    def forward(self, inputs, state):
        """Run over token ids ``inputs [T, B]`` from the state of ``net``."""
        one_hot = functional.one_hot(inputs, self.vocabulary_size).type_as(self.one)
        return self.net(one_hot, state)

    @torch.jit.export
    def begin_state(self, batch_size: int, device: torch.device):
        """Give the initial state of ``net``."""
        return self.net.begin_state(batch_size, device)
