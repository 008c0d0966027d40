"""A net is its time step: the loop around it, and an example."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

STEPS, ROWS = 4, 3


class Folded(nn.Module):
    """A loop over time around a ``step``, from ``x`` and the states to ``y`` and the states."""

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Compute a time step."""
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: Tensor | tuple[Tensor, ...]) -> tuple[object, ...]:
        """Run over time; a state alone is no tuple."""
        outputs, alone = [], isinstance(state, Tensor)
        leaves = (state,) if alone else state
        for x in inputs:
            y, *leaves = self.step(x, *leaves)
            outputs.append(y)
        return torch.stack(outputs), leaves[0] if alone else tuple(leaves)


@dataclass(frozen=True)
class StepNet:
    """A net; the sizes of ``x`` and of each state for one row. With ``tokens``, x are ids below that."""

    kind: type[Folded]
    x: tuple[int, ...]
    states: tuple[tuple[int, ...], ...]
    tokens: int = 0

    def module(self) -> nn.Module:
        """Make the net, always the same."""
        torch.manual_seed(0)
        net = self.kind().eval()
        with torch.no_grad():
            for value in net.buffers():
                if value.is_floating_point():
                    value.copy_(torch.rand_like(value) + 0.5)  # as statistics are after training
        return net

    def example(self, steps: int = STEPS, rows: int = ROWS) -> tuple[Tensor | tuple[Tensor, ...], ...]:
        """Give inputs and state."""
        random = torch.Generator().manual_seed(1)
        shape = (steps, rows, *self.x)
        if self.tokens:
            inputs = torch.randint(self.tokens, shape, generator=random)
        else:
            inputs = torch.randn(shape, generator=random)
        state = tuple(torch.randn(rows, *sizes, generator=random) * 0.5 for sizes in self.states)
        return inputs, state[0] if len(state) == 1 else state
