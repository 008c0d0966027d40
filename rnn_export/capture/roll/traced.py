"""A trace of a few time steps: whatever Python a loop was written in, its operators stand there in turn."""

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import fx

from rnn_export.capture import traceable
from rnn_export.capture.roll.unread import without_unread
from rnn_export.capture.roll.written import without_writes
from rnn_export.capture.step import PRINTING, TRACED_BATCH
from rnn_export.module.subject import Subject
from rnn_export.program.quiet import quiet, unprinted
from rnn_export.signature.sizes import BATCH, TIME

PREFIX = "model."  # of what is in the module that is traced


@dataclass(frozen=True)
class Traced:
    """A trace: ``(*inputs, *state) -> (*outputs, *new_state)``, and the names of the module's weights."""

    module: fx.GraphModule
    weights: set[str]


def known_sizes(subject: Subject) -> set[int]:
    """Give the sizes that a number of time steps would be taken for."""
    tensors = (*subject.inputs, *subject.model.parameters())
    return {TRACED_BATCH, *(size for tensor in tensors for size in tensor.shape)}


def traced(subject: Subject, steps: int) -> Traced:
    """Trace so many time steps, with all other free sizes free.

    Raises:
        Exception: whatever upstream raises that cannot trace it.
    """
    signature, model = subject.signature, subject.flat().eval()
    rows = torch.arange(TRACED_BATCH) % signature.sizes(subject.inputs)[BATCH]
    longer = [
        tensor
        if spec.time_axis is None
        else tensor.index_select(spec.time_axis, torch.arange(steps) % tensor.shape[spec.time_axis])
        for tensor, spec in zip((*subject.inputs, *subject.state), signature.arguments, strict=True)
    ]
    arguments = [
        tensor.index_select(spec.batch_axis, rows)
        for tensor, spec in zip(longer, signature.arguments, strict=True)
    ]
    free = [
        {axis: torch.export.Dim.AUTO for axis in spec.free_axes if spec.shape[axis] != TIME}
        for spec in signature.arguments
    ]
    with quiet(), unprinted(PRINTING), torch.no_grad():
        exported = traceable.trace(model, arguments, free, computed=False)
        module = exported.run_decompositions({}).module(check_guards=False)
    weights = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    _name_alike(module, weights)
    without_unread(without_writes(module.graph, steps))
    return Traced(module, weights)


def _name_alike(module: fx.GraphModule, weights: Collection[str]) -> None:
    """Call constants by one name that are the same: a trace makes one of its own wherever a step reads it."""
    known = dict[str, torch.Tensor]()
    for node in module.graph.find_nodes(op="get_attr"):
        name = str(node.target)
        value = operator.attrgetter(name)(module)
        if name in weights or not isinstance(value, torch.Tensor):
            continue
        node.target = name_of(value, known) or name
        known.setdefault(node.target, value)


def name_of(value: torch.Tensor, known: Mapping[str, torch.Tensor]) -> str | None:
    """Find the name of a constant of the same numbers; NaN is none."""
    same = (name for name, own in known.items() if own.dtype == value.dtype and torch.equal(own, value))
    return next(same, None)
