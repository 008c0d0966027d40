"""What runs in the place of a ``forward``: its loops, and what is around them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rnn_export.module.wrappers import Wrapper


class LoopOf(nn.Module):
    """One loop: ``(*sequences, *contexts, state) -> (*outputs, state)``, without the state if there is none.

    Args:
        step: one time step, ``(*entries, *contexts, *state) -> (*outputs, *new_state)``.
        axes: along which it goes through the sequences.
        contexts: the number of tensors that each time step reads.
        outputs: the number of outputs; of each, the time steps come first.
    """

    def __init__(self, step: nn.Module, axes: Sequence[int], contexts: int, outputs: int) -> None:
        super().__init__()
        self.step = step
        self.axes, self.contexts, self.outputs = tuple(axes), contexts, outputs

    def forward(self, *given: Any) -> Any:
        """Run the step over all time steps."""
        sequences, rest = given[: len(self.axes)], given[len(self.axes) :]
        contexts, state = rest[: self.contexts], rest[self.contexts :]
        leaves, found = tuple(state[0]) if state else (), []
        entries = [each.unbind(axis) for each, axis in zip(sequences, self.axes, strict=True)]
        for now in zip(*entries, strict=True):
            results = self.step(*now, *contexts, *leaves)
            found.append(results[: self.outputs])
            leaves = tuple(results[self.outputs :])
        outputs = tuple(torch.stack(parts) for parts in zip(*found, strict=True))
        if not found:
            outputs = self._none_of(sequences, contexts, leaves)
        return (*outputs, leaves) if state else outputs

    def _none_of(
        self, sequences: Sequence[Tensor], contexts: Sequence[Tensor], leaves: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Give the outputs of no time steps, which have the shapes of one."""
        shapes = [
            [size for axis, size in enumerate(each.shape) if axis != along]
            for each, along in zip(sequences, self.axes, strict=True)
        ]
        entries = [each.new_zeros(shape) for each, shape in zip(sequences, shapes, strict=True)]
        results = self.step(*entries, *contexts, *leaves)[: self.outputs]
        return tuple(result.new_zeros((0, *result.shape)) for result in results)


class Plain(Wrapper):
    """Runs a graph, whose weights have the names that the user's module has for them."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the graph."""
        results: tuple[Tensor, ...] = self.original(*inputs)
        return results
