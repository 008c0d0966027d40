"""Recurrent nets made of recurrent nets: one on top of another, and two in opposite directions.

Their ``forward`` is not annotated: the type of the state is that of the layers, a tuple with one entry a
layer, and is taken from the example when the module is scripted.
"""

import torch
from torch import nn


class DeepRNNScratch(nn.Module):
    """A stack of recurrent nets: the outputs of each layer are the inputs of the next.

    ``forward(inputs, state)`` takes ``inputs`` of shape ``[T, B, I]``, the inputs of the first layer, and a
    tuple with the state of every layer, such as ``((H,), (H, C))``; it returns the outputs of the last
    layer and the new state in the same form.

    Source: J. Schmidhuber, "Learning complex, extended sequences using the principle of history
    compression", Neural Computation 4 (1992); A. Graves et al., "Speech recognition with deep recurrent
    neural networks", ICASSP 2013.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, inputs, state):
        """Run every layer over the whole sequence, from the bottom to the top."""
        new_state = ()
        for layer, layer_state in zip(self.layers, state):  # noqa: B905 (TorchScript knows no strict=)
            inputs, new_layer_state = layer(inputs, layer_state)
            new_state = new_state + (new_layer_state,)  # noqa: RUF005 (TorchScript unpacks no tuples)
        return inputs, new_state

    @torch.jit.export
    def begin_state(self, batch_size: int, device: torch.device):
        """Give the initial state, one entry a layer."""
        state = ()
        for layer in self.layers:
            state = state + (layer.begin_state(batch_size, device),)  # noqa: RUF005 (as above)
        return state


class BidirectionalScratch(nn.Module):
    """Two recurrent nets over the same sequence, one of them from its end to its start.

    ``forward(inputs, state)`` takes ``inputs`` of shape ``[T, B, I]`` and the states of both nets, such as
    ``((H,), (H,))``; it returns the outputs of both, side by side on the last axis, and both final states:
    the first is the state after the last time step, the second the state after the first. The outputs at
    a time step depend on later inputs, so such a net cannot be run step by step.

    Source: M. Schuster and K. Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on
    Signal Processing 45 (1997).
    """

    def __init__(self, forward_net: nn.Module, backward_net: nn.Module) -> None:
        super().__init__()
        self.forward_net = forward_net
        self.backward_net = backward_net

    def forward(self, inputs, state):
        """Run one net from the start, one from the end, and join their outputs."""
        forward_state, backward_state = state
        forward_outputs, forward_state = self.forward_net(inputs, forward_state)
        backward_outputs, backward_state = self.backward_net(inputs.flip(0), backward_state)
        outputs = torch.cat((forward_outputs, backward_outputs.flip(0)), dim=-1)
        return outputs, (forward_state, backward_state)

    @torch.jit.export
    def begin_state(self, batch_size: int, device: torch.device):
        """Give the initial states of both nets."""
        return (
            self.forward_net.begin_state(batch_size, device),
            self.backward_net.begin_state(batch_size, device),
        )
