"""Wrong files: what verify has to catch, in one table, made for every backend by general means.

A mutation is a change of the module's parameters, of the operators of a graph, or of a call. Those of
parameters go through the exporter like any module; those of operators change the graph of each file, and the
Program that C is written of; those of calls are written around each file (:mod:`tests.support.mutant_calls`).

What a net does not have is found out from the net: a mutation that finds nothing to change makes no file.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch import fx, nn

from rnn_export.backends import onnx as onnx_backend
from rnn_export.backends import torch_export, torchscript
from rnn_export.backends.c.write.model import compile_program
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_H, STEP_ONNX, WEIGHTS, variant
from rnn_export.capture.script.script import WRAPPED
from rnn_export.module.copying import copied
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.program.program import Program, name_apart
from rnn_export.runtimes.torch_export import program as exported_program
from rnn_export.signature.sizes import BATCH, TIME
from tests.support import mutant_nodes as nodes
from tests.support.cases import CallCase, ModelCase
from tests.support.mutant_calls import Call, CCall, Index, OnnxCall, TorchCall
from tests.support.mutant_exported import (
    ExportedCall,
    again,
    coarse_exported_products,
    near_exported_activations,
)
from tests.support.mutant_values import flushed
from tests.support.written import written

# --- of parameters: change a module in place, and say whether there was anything to change ----------------


def without_a_bias(net: nn.Module) -> bool:
    """Set the first vector among the parameters to zero."""
    vectors = [parameter for parameter in net.parameters() if parameter.dim() == 1]
    for vector in vectors[:1]:
        vector.data.zero_()
    return bool(vectors)


def with_swapped_gates(net: nn.Module) -> bool:
    """Swap the first two parameters of each shape, or the first two gates of one that holds several."""
    shapes: dict[torch.Size, list[nn.Parameter]] = {}
    for parameter in net.parameters():
        shapes.setdefault(parameter.shape, []).append(parameter)
    pairs = [alike[:2] for alike in shapes.values() if len(alike) > 1]
    for one, other in pairs:
        one.data, other.data = other.data.clone(), one.data.clone()
    return any(one.dim() > 1 for one, _ in pairs)


def with_a_weight_transposed(net: nn.Module) -> bool:
    """Transpose the first square matrix among the parameters."""
    square = [each for each in net.parameters() if each.dim() == 2 and each.shape[0] == each.shape[1]]
    for weight in square[:1]:
        weight.data = weight.data.T.contiguous()
    return bool(square)


# --- of calls: what they give, or None if the net has no such thing ---------------------------------------

LATE, BACKWARD = Index(shift=-1), Index(sign=-1)
Results = list[Any] | None


def right(call: Call) -> Results:
    return call.run(call.inputs, call.state, call.lengths)


def with_state_ignored(call: Call) -> Results:
    initial = [call.initial(leaf) for leaf in range(len(call.state))]
    return call.run(call.inputs, initial, call.lengths) if initial else None


def with_leaves_swapped(call: Call) -> Results:
    """Swap the first two leaves of one shape and dtype, before the call and after it."""
    kinds = [(leaf.shape, leaf.dtype) for leaf in call.signature.state]
    found = [(a, b) for a, one in enumerate(kinds) for b in range(a) if kinds[b] == one]
    if not found:
        return None
    a, b = found[0]

    def swapped(leaves: list[Any]) -> list[Any]:
        order = {a: b, b: a}
        return [leaves[order.get(place, place)] for place in range(len(leaves))]

    outputs, *state = call.run(call.inputs, swapped(call.state), call.lengths)
    return [outputs, *swapped(state)] if state else [outputs]


def with_outputs_late(call: Call) -> Results:
    if call.signature.outputs[0].time_axis is None:
        return None
    outputs, *state = right(call)
    return [call.pick(outputs, call.signature.outputs[0], TIME, LATE), *state]


def with_inputs_late(call: Call) -> Results:
    return call.run(call.pick(call.inputs, call.signature.inputs[0], TIME, LATE), call.state, call.lengths)


def with_last_step_dropped(call: Call) -> Results:
    """Return the state of the step before the last one."""
    if not call.signature.returned_state:
        return None
    outputs, *_ = right(call)
    fewer = call.pick(call.inputs, call.signature.inputs[0], TIME, Index(drop=1))
    _, *state = call.run(fewer, call.state, call.lengths)
    return [outputs, *map(call.of_one_step, call.state, state)]


def reversed_in_time(call: Call) -> Results:
    backward = call.pick(call.inputs, call.signature.inputs[0], TIME, BACKWARD)
    outputs, *state = call.run(backward, call.state, call.lengths)
    spec = call.signature.outputs[0]
    return [outputs if spec.time_axis is None else call.pick(outputs, spec, TIME, BACKWARD), *state]


def with_frozen_time(call: Call, steps: int | None = None) -> Results:
    """Stop after some time steps, the example's; the outputs behind them are those of the last one."""
    spec, steps = call.signature.outputs[0], steps or call.steps
    few = call.pick(call.inputs, call.signature.inputs[0], TIME, Index(most=steps))
    stopped, *state = call.run(few, call.state, call.lengths)
    if spec.time_axis is None:
        return [stopped, *state]
    outputs, *_ = right(call)
    return [call.pick(outputs, spec, TIME, Index(last=steps - 1)), *state]


def with_frozen_batch(call: Call, batch: int | None = None) -> Results:
    """Give some rows, the example's, their own results, and those behind them that of the last one."""
    rows = Index(last=(batch or call.batch) - 1)
    return [
        call.pick(value, spec, BATCH, rows)
        for value, spec in zip(right(call), call.signature.results, strict=True)
    ]


def with_memory_of_the_last_call(call: Call) -> Results:
    """Give outputs of late inputs and of the initial state where the inputs are those of the call before."""
    outputs, *state = right(call)
    late = call.pick(call.inputs, call.signature.inputs[0], TIME, LATE)
    initial = [call.initial(leaf) for leaf in range(len(call.state))]
    outputs = call.if_repeated(call.run(late, initial, call.lengths)[0], outputs)
    return None if outputs is None else [outputs, *state]


def with_shared_memory(call: Call) -> Results:
    """Give what is right, unless two threads call at once."""
    outputs, *state = right(call)
    outputs = call.through_static_memory(outputs)
    return None if outputs is None else [outputs, *state]


def with_lengths_off(call: Call, by: int) -> Results:
    return None if call.lengths is None else call.run(call.inputs, call.state, call.moved(call.lengths, by))


def with_tiny_flushed(call: Call, below: float) -> Results:
    if call.signature.inputs[0].dtype == "int64":
        return None
    return call.run(flushed(call, below), call.state, call.lengths)


# --- the table --------------------------------------------------------------------------------------------


PLAIN = {"pt": "model.pt", "pt2": "model.pt2", "c": "model.c"}  # files that are no ONNX
ONE_STEP = "one step"  # step.onnx; the form ``step`` is a loop
TIMED = ("pt", "pt2", "c", "loop", "scan", "operator", "gated")
BACKENDS = (*TIMED, ONE_STEP)


@dataclass(frozen=True, kw_only=True)
class Anywhere:
    """Which backends have what a mutation changes."""

    backends: tuple[str, ...] = BACKENDS


@dataclass(frozen=True)
class OfParameters(Anywhere):
    change: Callable[[nn.Module], bool]


@dataclass(frozen=True)
class OfOperators(Anywhere):
    onnx: Callable[[ir.Model, str], bool]
    torch: Callable[[torch._C.Graph], bool]
    exported: Callable[[fx.GraphModule], bool]


@dataclass(frozen=True)
class OfCall(Anywhere):
    change: Callable[[Call], Results]


Mutation = OfParameters | OfOperators | OfCall

MUTATIONS: dict[str, Mutation] = {
    "bias dropped": OfParameters(without_a_bias),
    "gates swapped": OfParameters(with_swapped_gates),
    "weight transposed": OfParameters(with_a_weight_transposed),
    "near activation": OfOperators(
        nodes.near_activations, nodes.near_torch_activations, near_exported_activations
    ),
    "products in bf16": OfOperators(
        nodes.coarse_products, nodes.coarse_torch_products, coarse_exported_products
    ),
    "else-branch of a guard": OfOperators(
        nodes.other_branches, lambda graph: False, lambda graph: False, backends=("operator", "gated")
    ),
    "memory of the last call": OfCall(with_memory_of_the_last_call, backends=("pt", "c")),
    "static buffer": OfCall(with_shared_memory, backends=("c",)),
    "state ignored": OfCall(with_state_ignored),
    "state leaves swapped": OfCall(with_leaves_swapped),
    "outputs late by a step": OfCall(with_outputs_late, backends=TIMED),
    "inputs late by a step": OfCall(with_inputs_late, backends=TIMED),
    "last step dropped": OfCall(with_last_step_dropped, backends=TIMED),
    "reversed direction": OfCall(reversed_in_time, backends=TIMED),
    "T frozen": OfCall(with_frozen_time, backends=TIMED),
    "B frozen": OfCall(with_frozen_batch),
    "T frozen far behind the example": OfCall(partial(with_frozen_time, steps=2000), backends=TIMED),
    "B frozen far behind the example": OfCall(partial(with_frozen_batch, batch=40)),
}
OF_LENGTHS: dict[str, Mutation] = {
    "lengths one too long": OfCall(partial(with_lengths_off, by=1)),
    "lengths one too short": OfCall(partial(with_lengths_off, by=-1)),
}
# For nets that tell tiny numbers from zeros; in others a file does nothing wrong with that.
OF_TINY: dict[str, Mutation] = {
    f"inputs below {below} flushed to zero": OfCall(partial(with_tiny_flushed, below=below))
    for below in (1e-6, 1e-11, 1e-29)
}
CONTROL: dict[str, Mutation] = {"nothing": OfCall(right)}  # written around the same way, and right


# --- the files --------------------------------------------------------------------------------------------


class Workshop:
    """Makes wrong files of one case, of every backend that its bundle has."""

    def __init__(self, case: ModelCase | CallCase, bundle: Bundle, scratch: Path) -> None:
        self.case, self.bundle, self.signature = case, bundle, bundle.signature
        self.subject = self._subject(lambda net: True)
        self.dense = written(self.subject, scratch, "right").improved.dense

    @property
    def backends(self) -> dict[str, Path]:
        """The right files, by what they are: ``pt``, ``c``, or the form of an ONNX file."""
        folder, found = self.bundle.folder, {}
        for name in self.bundle.manifest.files:
            path = Path(name)
            if path.suffix in (".pt", ".pt2", ".c"):
                found[path.suffix[1:]] = folder / path
            elif name == STEP_ONNX:
                found[ONE_STEP] = folder / path
            elif path.suffix == ".onnx":
                found[self.bundle.manifest.form if path.stem == "model" else path.stem] = folder / path
        return found

    def make(self, mutation: Mutation, folder: Path) -> dict[str, Path]:
        """Write the files of a mutation; give those of the backends where it found something to change."""
        folder.mkdir()
        if isinstance(mutation, OfParameters):
            return self._exported(mutation, folder)
        make = self._of_call if isinstance(mutation, OfCall) else self._of_operators
        made, names = {}, {**PLAIN, ONE_STEP: STEP_ONNX}
        for backend, right in self.backends.items():
            if backend not in mutation.backends:
                continue
            path = folder / names.get(backend, variant(backend))
            if make(mutation, backend, right, path):
                made[backend] = path
        return made

    def _subject(self, change: Callable[[nn.Module], bool]) -> Subject | None:
        """Take the module in as the exporter does, after a change; ``None`` if there is nothing to change."""
        model, example = self.case.build()
        model = copied(model).requires_grad_(False)
        if not change(model):
            return None
        subject = find_streaming(inspect_module(model, example, step=getattr(self.case, "step", False)))
        return replace(subject, signature=self.signature)

    def _exported(self, mutation: OfParameters, folder: Path) -> dict[str, Path]:
        subject = self._subject(mutation.change)
        if subject is None:
            return {}
        written(subject, folder, self.bundle.manifest.name, pt2="pt2" in self.backends)
        made = {backend: folder / "variants" / f"{backend}.onnx" for backend in self.backends}
        made |= {backend: folder / name for backend, name in {**PLAIN, ONE_STEP: STEP_ONNX}.items()}
        for path in [*folder.rglob("*.onnx"), folder / "model.c"]:
            if path.exists() and path not in [made[backend] for backend in self.backends]:
                path.unlink()  # a form that the right bundle has not
        return {backend: made[backend] for backend in self.backends if made[backend].exists()}

    def _of_operators(self, mutation: OfOperators, backend: str, right: Path, path: Path) -> bool:
        if backend == "pt":
            module = torch.jit.load(right)
            torch._C._jit_pass_inline(module.graph)
            changed = mutation.torch(module.graph)
            if changed:
                torchscript.write(module, path)
            return changed
        if backend == "pt2":
            net = exported_program(right).module()
            changed = mutation.exported(net)
            if changed:
                torch_export.save(again(net, net, self.signature), path)
            return changed
        model = self.dense.copy().model if backend == "c" else ir.from_proto(onnx.load(right))
        if not mutation.onnx(model, self.signature.dtype):
            return False
        name_apart(model)
        if backend == "c":
            program = Program(model, self.dense.signature)
            files = compile_program(program, self.signature, self.bundle.manifest.name, f"{WRAPPED}.")
            _write_c(path, files.source, files.header, files.weights)
        else:
            onnx_backend.write(ir.to_proto(model), path)
        return True

    def _of_call(self, mutation: OfCall, backend: str, right: Path, path: Path) -> bool:
        sizes = self.signature, self.subject.steps, self.subject.batch
        if backend in PLAIN:
            call = {"pt": TorchCall, "pt2": ExportedCall, "c": CCall}[backend](right, *sizes)
        else:
            own = self.signature.one_step if backend == ONE_STEP else self.signature
            call = OnnxCall(onnx.load(right), own, *sizes[1:])
        results = mutation.change(call)
        if results is None:
            return False
        finished = call.finished(results)
        if backend == "pt":
            torchscript.write(finished, path)
        elif backend == "pt2":
            torch_export.save(finished, path)
        elif backend == "c":
            weights = right.with_name(WEIGHTS)
            _write_c(
                path,
                finished,
                right.with_name(MODEL_H).read_text(),
                weights.read_bytes() if weights.exists() else b"",
            )
        else:
            onnx_backend.write(finished, path)
        return True


def _write_c(path: Path, source: str, header: str, weights: bytes) -> None:
    path.write_text(source)
    path.with_name(MODEL_H).write_text(header)
    if weights:
        path.with_name(WEIGHTS).write_bytes(weights)
