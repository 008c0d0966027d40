"""A module whose state lives in local variables of ``forward``, with that state as an input and an output.

For what does not stream as it is called, whether TorchScript compiles it or not. A trace of a few time steps
is rolled up, and the step that it shows is run in a loop: a module with a state as any other. That it does
what the user's does is checked by running both.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from torch import fx, nn

from rnn_export.capture.roll.agree import FEW, gives_the_same
from rnn_export.capture.roll.one_step import Step, one_step
from rnn_export.capture.roll.traced import PREFIX, known_sizes, traced
from rnn_export.capture.roll.unrolled import Unrolled
from rnn_export.errors import RnnExportError
from rnn_export.module.fold_check import AHEAD, DISAGREES
from rnn_export.module.local_names import with_local_names
from rnn_export.module.reading import look_again
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Wrapper
from rnn_export.program.quiet import RUNNING, unprinted
from rnn_export.signature.sizes import BATCH

FEWEST = 5  # time steps of a trace: what follows what is seen between the second and the last of them
# Time steps and rows on which the step is compared with the module: from here on the step stands for it.
TRIED = ((1, 2), (2, 1), (31, 5), (FEW, 33), (FEW, 257), (300, 1), (1025, 1), (4097, 1))


class Rolled(Wrapper):
    """A module, and one time step of it: ``(*inputs, state) -> (*outputs, state)``, ``state`` a tuple.

    Without ``state`` the module itself is run.
    """

    def __init__(
        self,
        model: nn.Module,
        step: nn.Module,
        weights: Sequence[str],
        inputs: Sequence[int | None],
        outputs: Sequence[int | None],
    ) -> None:
        super().__init__(model)
        self.step, self.weights = step, tuple(weights)
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def forward(self, *given: Any) -> Any:
        """Run the step over all time steps."""
        inputs, state = given[: len(self.inputs)], given[len(self.inputs) :]
        if not state:
            return self.original(*inputs)
        places = [place for place, axis in enumerate(self.inputs) if axis is not None]
        steps = inputs[places[0]].shape[self.inputs[places[0]]]
        own = {**dict(self.original.named_parameters()), **dict(self.original.named_buffers())}
        weights = [own[name] for name in self.weights]
        found, leaves = [], tuple(state[0])
        for step in range(steps):
            now = [
                each if axis is None else each.narrow(axis, step, 1)
                for each, axis in zip(inputs, self.inputs, strict=True)
            ]
            results = self.step(*now, *leaves, *weights)
            found.append(results[: len(self.outputs)])
            leaves = tuple(results[len(self.outputs) :])
        outputs = [
            parts[-1] if axis is None else torch.cat(parts, axis)
            for parts, axis in zip(zip(*found, strict=True), self.outputs, strict=True)
        ]
        return (*outputs, leaves)


def roll(subject: Subject) -> Subject | None:
    """Give a module for whole sequences as one with a state, if a trace of it can be rolled up.

    That is of no use where later time steps take part in earlier outputs, where a call has a state, or where
    it was tried before.
    """
    signature, reason = subject.signature, subject.signature.not_streamable_because or ""
    ahead = reason.endswith(f": {AHEAD}") or reason.startswith(DISAGREES)
    if signature.state or not signature.timed or ahead:
        return None
    try:
        step, found = _step(subject)
    except Exception:  # it is no loop that can be rolled up, or whatever upstream raises that cannot trace it
        return None
    axes = [[spec.time_axis for spec in specs] for specs in (signature.inputs, signature.outputs)]
    batch = signature.sizes(subject.inputs)[BATCH]
    state = tuple(
        torch.zeros([size if isinstance(size, int) else batch for size in shape], dtype=dtype)
        for shape, dtype in found.state
    )
    names = [name.removeprefix(PREFIX) for name in found.weights]
    rolled = Rolled(subject.model, step, names, *axes).eval()
    try:
        with unprinted(RUNNING):
            inner = look_again(subject, rolled, subject.inputs, state)
            return with_local_names(subject, inner) if gives_the_same(subject, inner, TRIED) else None
    except (RnnExportError, RuntimeError):  # what the trace shows is not the module's step
        return None


def _step(subject: Subject) -> tuple[nn.Module, Step]:
    """Trace some time steps; give one of them, as a module that takes the weights as well.

    Raises:
        NotRolledError: they are none of a loop.
    """
    known = known_sizes(subject)
    steps = next(steps for steps in count(FEWEST) if steps not in known)
    found = traced(subject, steps)
    axes = [spec.time_axis is not None for spec in subject.signature.inputs]
    step = one_step(Unrolled(found.module.graph, axes, steps, found.weights))
    module = fx.GraphModule(found.module, step.graph)
    for name, constant in [*module.named_buffers()]:
        holder, _, last = name.rpartition(".")
        module.get_submodule(holder).register_buffer(last, constant, persistent=False)  # no weight
    return module, step
