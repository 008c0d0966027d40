"""``model.pt2``: one traced time step in a ``scan`` of ``torch.export``, TorchScript's successor.

Whatever Python the loop was written in, its time step is traced, and becomes what ``scan`` runs::

    H_T, Ys = scan (step, [H], [xs], [weights, contexts, sizes])

    step (H_s, x_t, weights, contexts, sizes) -> (H_t, y_t)       # x_t: [B,4] of xs: [T,B,4]

- Outputs of the last time step alone are a state that begins with zeros.
- With lengths, the number of the time step is a state as well: a row that has ended keeps its states, and its
  outputs are their padding.
- Sizes that are free are handed to the step as numbers: without them AOTInductor, which makes a ``while`` of
  the ``scan``, does not know the shapes of what it stacks.

Inputs and outputs are tensors in the order of the ONNX files, and have the signature's names.
"""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter
from inspect import Signature as Arguments
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from rnn_export.backends.archive import canonical
from rnn_export.bundle.untrusted import exported as untrusted
from rnn_export.capture import step
from rnn_export.capture.traceable import set_at
from rnn_export.errors import CaptureError
from rnn_export.failures import explain
from rnn_export.garbage import uncollected
from rnn_export.module.subject import Subject
from rnn_export.module.wrappers import Wrapper
from rnn_export.program.quiet import quiet
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, TensorSpec

FLAT, WRAPPED = "model.", "original."  # what wrappers put before the names of the weights
STEPS, FIRST = 4, 5  # time steps of the trace, and the first of the other free sizes: all are unlike the rows
KINDS = {InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR}
SCAN = torch.ops.higher_order.scan


def write(subject: Subject, path: Path) -> None:
    """Save a module that streams as an exported program.

    Raises:
        CaptureError: its time step cannot be traced, or not run in a loop.
    """
    signature = subject.signature
    if not signature.streamable:
        raise CaptureError(f"it cannot be run step by step: {signature.not_streamable_because}")
    if not signature.timed:
        raise CaptureError("no input has a time axis")
    if len(signature.returned_state) != len(signature.state):
        raise CaptureError("the state does not come back")
    dense = replace(subject, signature=replace(signature, lengths=False))
    fold = Fold(step.traced(dense), signature, _prefix(subject.model))
    save(exported(fold.module, signature), path)


def _prefix(model: nn.Module) -> str:
    """Give what stands before the names of the user's weights."""
    return f"{_prefix(model.original)}{WRAPPED}" if isinstance(model, Wrapper) else FLAT


def exported(module: nn.Module, signature: Signature) -> ExportedProgram:
    """Export a module that takes and gives tensors in the order of the files, all free sizes free.

    Raises:
        CaptureError: upstream cannot.
    """
    specs = {spec.name: spec for spec in signature.arguments}
    own = [specs[name] for name in signature.file_inputs]
    numbers = {TIME: STEPS, BATCH: step.TRACED_BATCH}
    numbers |= {name: FIRST + place for place, name in enumerate(signature.free_sizes)}
    free = {name: torch.export.Dim(name, min=1, max=step.LARGEST) for name in numbers}
    example = tuple(torch.zeros(spec.sized(**numbers), dtype=_dtype(spec)) for spec in own)
    axes = tuple({axis: free[str(spec.shape[axis])] for axis in spec.free_axes} for spec in own)
    try:
        with quiet(), uncollected(), torch.no_grad():
            return torch.export.export(module, example, dynamic_shapes=axes)
    except Exception as error:
        raise CaptureError(explain("a loop around its traced step", error)) from error


def save(program: ExportedProgram, path: Path) -> None:
    """Write a program, without what says where it was made, and the example, which is kept as a pickle.

    Raises:
        CaptureError: it cannot be saved, or who reads a bundle refuses it.
    """
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta = {"val": node.meta["val"]} if "val" in node.meta else {}
    program._guards_code = [code for code in program._guards_code if untrusted.GUARD.fullmatch(code)]
    program._example_inputs = None
    archive = io.BytesIO()
    try:
        with quiet():
            torch.export.save(program, archive)
        content = canonical(archive.getvalue(), lambda _, record: record)
        untrusted.check(content, path.name)
    except Exception as error:
        raise CaptureError(explain("saving it", error)) from error
    path.write_bytes(content)


class Fold:
    """A traced time step, run over all of them: ``forward`` of a module that holds its weights.

    ``timed`` are the inputs with a time axis, ``last`` the outputs without one.
    """

    def __init__(self, traced: ExportedProgram, signature: Signature, prefix: str) -> None:
        if any(spec.kind != OutputKind.USER_OUTPUT for spec in traced.graph_signature.output_specs):
            raise CaptureError("its time step changes what it keeps")
        self.signature, self.step, self.names = signature, traced.graph_module, list[str]()
        self.timed = [spec for spec in signature.inputs if spec.time_axis is not None]
        self.last = [spec for spec in signature.outputs if spec.time_axis is None]
        self.module, known = nn.Module(), {**traced.state_dict, **traced.constants}
        for spec in traced.graph_signature.input_specs:
            if spec.kind == InputKind.USER_INPUT:
                continue
            if spec.target is None or spec.kind not in KINDS:
                raise CaptureError(f"its time step takes a {spec.kind.name.lower()}, which is no tensor")
            tensor = known[spec.target].detach()
            weight = nn.Parameter(tensor, False) if spec.kind == InputKind.PARAMETER else tensor
            self.names.append(spec.target.removeprefix(prefix))
            set_at(self.module, self.names[-1], weight, persistent=spec.kind == InputKind.BUFFER)
        self.module.forward = _with_names(self, signature.file_inputs)
        self.module.eval()

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Run all time steps; give the results in the order of the files."""
        signature = self.signature
        named = dict(zip(signature.file_inputs, given, strict=True))
        sizes = {
            str(spec.shape[axis]): named[spec.name].shape[axis]
            for spec in signature.inputs
            for axis in spec.free_axes
        }
        carried = [named[leaf.name] for leaf in signature.state]
        carried += [torch.zeros(_sized(spec, sizes), dtype=_dtype(spec)) for spec in self.last]
        beside = [self._weight(name) for name in self.names]
        beside += [named[spec.name] for spec in signature.inputs if spec.time_axis is None]
        if signature.lengths:
            carried.append(torch.zeros((), dtype=torch.int64))
            beside += [
                named[LENGTHS.name],
                *(torch.tensor(spec.ended(spec.dtype)) for spec in signature.outputs),
            ]
        free = [size for name, size in sizes.items() if name != TIME]
        sequences = [_in_front(named[spec.name], spec.time_axis) for spec in self.timed]
        results = iter(SCAN(self._one_step, carried, sequences, (*beside, *free)))
        state, lasts = [*islice(results, len(signature.state))], iter([*islice(results, len(self.last))])
        stacked = islice(results, int(signature.lengths), None)
        outputs = [
            next(lasts) if spec.time_axis is None else _in_place(next(stacked), spec.time_axis)
            for spec in signature.outputs
        ]
        found = dict(zip(signature.output_names, [*outputs, *state], strict=True))
        return tuple(found[name] for name in signature.file_outputs)

    def _one_step(self, *arguments: Tensor) -> list[Tensor]:
        """Run one time step.

        Args:
            arguments: ``(*state, *last, number, *x_t, *weights, *contexts, lengths, *padding, *sizes)``.
        """
        signature, given = self.signature, iter(arguments)
        before = [*islice(given, len(signature.state) + len(self.last))]
        number = [*islice(given, int(signature.lengths))]
        elements = iter([*islice(given, len(self.timed))])
        weights = [*islice(given, len(self.names))]
        inputs = [
            next(given) if spec.time_axis is None else next(elements).unsqueeze(spec.time_axis)
            for spec in signature.inputs
        ]
        results = self.step(*weights, *inputs, *before[: len(signature.state)])
        outputs = [*zip(results, signature.outputs, strict=False)]
        now: list[tuple[Tensor, TensorSpec]] = [*zip(results[len(outputs) :], signature.state, strict=True)]
        now += [(value, spec) for value, spec in outputs if spec.time_axis is None]
        after = [value for value, _ in now]
        if signature.lengths:
            running = number[0] < next(given)
            after = [
                _while(running, value, old, spec) for (value, spec), old in zip(now, before, strict=True)
            ]
            outputs = [(_while(running, value, next(given), spec), spec) for value, spec in outputs]
        emitted = [value.squeeze(spec.time_axis) for value, spec in outputs if spec.time_axis is not None]
        # A result may be neither an argument nor another result, nor a view of one.
        return [value.clone() for value in (*after, *(at + 1 for at in number), *emitted)]

    def _weight(self, name: str) -> Tensor:
        holder, _, last = name.rpartition(".")
        weight: Tensor = getattr(self.module.get_submodule(holder), last)
        return weight


def _with_names(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """Give a function whose parameters have names: ``torch.export`` calls the inputs so."""

    def named(*tensors: Tensor) -> Any:
        return function(*tensors)

    plain = [re.sub(r"\W", "_", f"_{name}" if name[:1].isdigit() else name) for name in names]
    if len({*plain}) < len(plain):
        plain = [f"input_{number}" for number in range(len(names))]
    kinds = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in plain]
    named.__signature__ = Arguments(kinds)  # type: ignore[attr-defined]
    return named


def _while(running: Tensor, value: Tensor, otherwise: Tensor, spec: TensorSpec) -> Tensor:
    """Let rows that have ended have something else."""
    shape = [-1 if axis == spec.batch_axis else 1 for axis in range(value.dim())]
    return torch.where(running.reshape(shape), value, otherwise)


def _in_front(sequence: Tensor, axis: int | None) -> Tensor:
    return sequence.movedim(axis, 0) if axis else sequence


def _in_place(stacked: Tensor, axis: int) -> Tensor:
    return stacked.movedim(0, axis).contiguous() if axis else stacked


def _sized(spec: TensorSpec, sizes: Mapping[str, int]) -> list[int]:
    return [sizes[size] if isinstance(size, str) else size for size in spec.shape]


def _dtype(spec: TensorSpec) -> torch.dtype:
    dtype = getattr(torch, spec.dtype)
    assert isinstance(dtype, torch.dtype)
    return dtype
