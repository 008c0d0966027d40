"""A module whose state lives in local variables of ``forward``, with that state as an input and an output.

For what does not stream as it is called, whether TorchScript compiles it or not. A trace of a few time steps
is rolled up, and the step that it shows is run in a loop: a module with a state as any other. That it does
what the user's does is checked by running both.
"""

import operator
from collections.abc import Collection, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from rnn_export.capture import traceable
from rnn_export.capture.roll.one_step import Step, one_step
from rnn_export.capture.roll.unread import without_unread
from rnn_export.capture.roll.unrolled import Unrolled
from rnn_export.capture.roll.written import without_writes
from rnn_export.capture.step import PRINTING, TRACED_BATCH
from rnn_export.errors import RnnExportError
from rnn_export.module import eager
from rnn_export.module.fold_check import AHEAD, DISAGREES, FOLD_TOLERANCE
from rnn_export.module.local_names import with_local_names
from rnn_export.module.reading import look_again
from rnn_export.module.sampling import Draw
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Wrapper
from rnn_export.program.quiet import quiet, unprinted
from rnn_export.signature.sizes import BATCH, TIME

FEWEST = 5  # time steps of a trace: what follows what is seen between the second and the last of them
FEW = 3  # time steps of many rows
RUNNING = "torch.fx.graph_module"  # prints where a step failed that is none
PREFIX = "model."  # of what is in the module that is traced
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
            return with_local_names(subject, inner) if _is_same(subject, inner) else None
    except (RnnExportError, RuntimeError):  # what the trace shows is not the module's step
        return None


def _step(subject: Subject) -> tuple[nn.Module, Step]:
    """Trace some time steps; give one of them, as a module that takes the weights as well.

    Raises:
        NotRolledError: they are none of a loop.
    """
    signature, model = subject.signature, subject.flat().eval()
    known = {size for tensor in (*subject.inputs, *model.parameters()) for size in tensor.shape}
    steps = next(steps for steps in count(FEWEST) if steps not in known and steps != TRACED_BATCH)
    rows = torch.arange(TRACED_BATCH) % signature.sizes(subject.inputs)[BATCH]
    axes = tuple(spec.time_axis for spec in signature.inputs)
    longer = [
        tensor
        if spec.time_axis is None
        else tensor.index_select(spec.time_axis, torch.arange(steps) % tensor.shape[spec.time_axis])
        for tensor, spec in zip(subject.inputs, signature.inputs, strict=True)
    ]
    arguments = [
        tensor.index_select(spec.batch_axis, rows)
        for tensor, spec in zip(longer, signature.inputs, strict=True)
    ]
    free = [
        {axis: torch.export.Dim.AUTO for axis in spec.free_axes if spec.shape[axis] != TIME}
        for spec in signature.inputs
    ]
    with quiet(), unprinted(PRINTING), torch.no_grad():
        exported = traceable.trace(model, arguments, free, computed=False)
        traced = exported.run_decompositions({}).module(check_guards=False)
    weights = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    _name_alike(traced, weights)
    graph = without_unread(without_writes(traced.graph, steps))
    step = one_step(Unrolled(graph, [axis is not None for axis in axes], steps, weights))
    module = fx.GraphModule(traced, step.graph)
    for name, constant in [*module.named_buffers()]:
        holder, _, last = name.rpartition(".")
        module.get_submodule(holder).register_buffer(last, constant, persistent=False)  # no weight
    return module, step


def _name_alike(traced: fx.GraphModule, weights: Collection[str]) -> None:
    """Call constants by one name that are the same: a trace makes one of its own wherever a step reads it."""
    known = list[tuple[str, torch.Tensor]]()
    for node in traced.graph.find_nodes(op="get_attr"):
        name = str(node.target)
        value = operator.attrgetter(name)(traced)
        if name in weights or not isinstance(value, torch.Tensor):
            continue
        same = (
            other for other, own in known if own.dtype == value.dtype and torch.equal(own, value)
        )  # NaN is none
        node.target = next(same, name)
        if node.target == name:
            known.append((name, value))


def _is_same(subject: Subject, inner: Subject) -> bool:
    """Whether a module that was rolled up gives what the module itself does.

    For large inputs as well, and beyond the sizes that the module itself names.
    """
    own, other = (eager.start(each, torch.float64) for each in (subject, inner))
    draw = Draw(subject, own)
    named = [shape for size in draw.sizes for shape in ((size + 1, 1), (FEW, size + 1))]
    usual = (
        (draw.inputs if batch > 1 else draw.changing_inputs)(steps, batch)
        for steps, batch in (*TRIED, *named)
    )
    for inputs in chain([draw.large_inputs(FEWEST, max(1, draw.larger))], usual):
        batch = inner.signature.sizes(inputs)[BATCH]
        got = other(*inputs, *inner.signature.initial_state(batch))
        for one, want in zip(got, own(*inputs), strict=False):
            if not np.allclose(one, want, rtol=FOLD_TOLERANCE, atol=FOLD_TOLERANCE, equal_nan=True):
                return False
    return True
