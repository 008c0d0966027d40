"""Wrong calls of a right net: one description of what goes wrong, written around a file of every backend.

A wrong call is a function of a :class:`Call`, which it tells what to do: run the net, perhaps on other
arguments, and pick what comes out. Each backend has a :class:`Call` that writes that down in its own
language: nodes of ONNX, lines of TorchScript, lines of C.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch

from rnn_export.backends.c.write.layout import C_TYPES
from rnn_export.capture.script import script, source
from rnn_export.program.program import IR_VERSION, OPSET, name_apart
from rnn_export.runtimes.compiler import entry
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import TensorSpec

Change = Callable[["Call"], "list[Any] | None"]


@dataclass(frozen=True)
class Index:
    """Which places of an axis are taken.

    There are ``drop`` fewer of them than the axis has, but one at least, and no more than ``most``; place
    ``p`` takes ``sign * p + shift``, counted from the end if ``sign`` is -1, as far as that is there, and
    nothing behind ``last``.
    """

    sign: int = 1
    shift: int = 0
    last: int = 1 << 30
    drop: int = 0
    most: int = 1 << 30


class Call(ABC):
    """The arguments of a call, what can be done with them, and the example's ``steps`` and ``batch``."""

    def __init__(self, signature: Signature, steps: int, batch: int) -> None:
        self.signature, self.steps, self.batch = signature, steps, batch
        self.inputs: Any
        self.state: list[Any]
        self.lengths: Any = None

    @abstractmethod
    def run(self, inputs: Any, state: Sequence[Any], lengths: Any = None) -> list[Any]:
        """Run the net; give the outputs and the leaves of the new state."""

    @abstractmethod
    def pick(self, value: Any, spec: TensorSpec, axis: str, index: Index) -> Any:
        """Take some places of an axis."""

    @abstractmethod
    def initial(self, leaf: int) -> Any:
        """Give the initial state of a leaf."""

    @abstractmethod
    def moved(self, lengths: Any, by: int) -> Any:
        """Give lengths that are off, from 0 to the number of time steps."""

    @abstractmethod
    def of_one_step(self, one: Any, others: Any) -> Any:
        """Take one value if the call has one time step, the other if it has more."""

    def if_repeated(self, one: Any, others: Any) -> Any:
        """Take one value if the inputs are those of the call before, the other if not.

        ``None`` where a file has no memory.
        """
        return None

    def through_static_memory(self, outputs: Any) -> Any:
        """Give outputs that lie in memory which all calls share; ``None`` where a file has none."""
        return None


class OnnxCall(Call):
    """Writes nodes of ONNX around copies of a graph."""

    def __init__(self, model: onnx.ModelProto, signature: Signature, steps: int, batch: int) -> None:
        super().__init__(signature, steps, batch)
        self.model, self.copies = model.SerializeToString(), 0
        arguments = [_value(name, spec) for name, spec in _named(signature)]
        self.graph = ir.Graph(arguments, [], nodes=[], opset_imports={"": OPSET}, name="wrong")
        self.inputs, *self.state = arguments
        self.lengths = self.state.pop() if signature.lengths else None

    def emit(self, op: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        node = ir.node(op, inputs, attributes)
        self.graph.append(node)
        return node.outputs[0]

    def number(self, *numbers: int) -> ir.Value:
        """Give an integer, or a list of several."""
        array = np.array(numbers if len(numbers) > 1 else numbers[0], np.int64)
        return self.emit("Constant", value=ir.tensor(array))

    def size(self, value: ir.Value, axis: int) -> ir.Value:
        return self.emit("Gather", self.emit("Shape", value), self.number(axis))

    def run(self, inputs, state, lengths=None):
        graph = ir.from_proto(onnx.load_from_string(self.model)).graph  # which shares tensors with the proto
        arguments = [inputs, *state, *([] if lengths is None else [lengths])]
        for old, new in zip(graph.inputs, arguments, strict=True):
            old.replace_all_uses_with(new, replace_graph_outputs=True)
        results, nodes = list(graph.outputs), list(graph)
        for value in (value for node in nodes for value in node.outputs):
            value.shape = None  # two copies may have two numbers of time steps
        graph.outputs.clear()
        graph.remove(nodes)
        for name, value in list(graph.initializers.items()):
            graph.initializers.pop(name)
            value.name = f"copy_{self.copies}/{name}"
            self.graph.register_initializer(value)
        self.graph.extend(nodes)
        self.copies += 1
        return results

    def pick(self, value, spec, axis, index):
        place = spec.shape.index(axis)
        size, one = self.size(value, place), self.number(1)
        count = self.emit("Max", self.emit("Sub", size, self.number(index.drop)), one)
        count = self.emit("Min", count, self.number(index.most))
        end = self.emit("Sub", size, one)
        steps = self.emit("Range", self.number(0), count, one)
        places = self.emit("Add", self.emit("Mul", steps, self.number(index.sign)), self.number(index.shift))
        places = self.emit("Add", places, end) if index.sign < 0 else places
        last = self.emit("Min", end, self.number(index.last))
        places = self.emit("Min", self.emit("Max", places, self.number(0)), last)
        return self.emit("Gather", value, places, axis=place)

    def initial(self, leaf):
        spec = self.signature.state[leaf]
        first = self.emit("Constant", value=ir.tensor(spec.initial_value(1)))
        batch = self.size(self.inputs, self.signature.inputs[0].batch_axis)
        front = self.emit("Constant", value=ir.tensor(np.array([0])))
        sizes = [batch if size == BATCH else self.number(int(size)) for size in spec.shape]
        shape = self.emit("Concat", *(self.emit("Unsqueeze", size, front) for size in sizes), axis=0)
        return self.emit("Expand", first, shape)

    def moved(self, lengths, by):
        moved = self.emit("Max", self.emit("Add", lengths, self.number(by)), self.number(0))
        axis = self.signature.inputs[0].time_axis
        return self.emit("Min", moved, self.number(1) if axis is None else self.size(self.inputs, axis))

    def of_one_step(self, one, others):
        steps = self.size(self.inputs, self.signature.inputs[0].time_axis)
        return self.emit("Where", self.emit("Equal", steps, self.number(1)), one, others)

    def finished(self, results: Sequence[ir.Value]) -> onnx.ModelProto:
        """Give the model; each result is a value of its own."""
        for spec, name, value in zip(
            self.signature.results, self.signature.output_names, results, strict=True
        ):
            output = self.emit("Identity", value)
            output.name, output.shape, output.type = name, ir.Shape(spec.shape), _type(spec)
            self.graph.outputs.append(output)
        model = ir.Model(self.graph, ir_version=IR_VERSION)
        name_apart(model)
        return ir.to_proto(model)


def _named(signature: Signature) -> list[tuple[str, TensorSpec]]:
    return list(zip(signature.input_names, signature.arguments, strict=True))


def _type(spec: TensorSpec) -> ir.TensorType:
    return ir.TensorType(ir.DataType.from_numpy(np.dtype(spec.dtype)))


def _value(name: str, spec: TensorSpec) -> ir.Value:
    return ir.Value(name=name, shape=ir.Shape(spec.shape), type=_type(spec))


class TorchCall(Call):
    """Writes lines of TorchScript around a saved module."""

    def __init__(self, path: Path, signature: Signature, steps: int, batch: int) -> None:
        super().__init__(signature, steps, batch)
        self.path, self.lines, self.count = path, [], 0
        self.inputs, self.state = "inputs", [leaf.name for leaf in signature.state]
        self.lengths = "lengths" if signature.lengths else None

    def emit(self, expression: str) -> str:
        self.count += 1
        self.lines.append(f"    v{self.count} = {expression}")
        return f"v{self.count}"

    def run(self, inputs, state, lengths=None):
        arguments = [inputs, *state, *([] if lengths is None else [lengths])]
        call = self.emit(f"self.{script.WRAPPED}({', '.join(arguments)})")
        returned = len(self.signature.returned_state)
        return [self.emit(f"{call}[{k}]") for k in range(returned + 1)] if returned else [call]

    def pick(self, value, spec, axis, index):
        place = spec.shape.index(axis)
        size = f"{value}.size({place})"
        places = f"torch.arange(min(max({size} - {index.drop}, 1), {index.most})) * {index.sign}"
        shift = f"{index.shift} + {size} - 1" if index.sign < 0 else f"{index.shift}"
        places = f"torch.clamp({places} + ({shift}), 0, min({size} - 1, {index.last}))"
        return self.emit(f"{value}.index_select({place}, {places})")

    def initial(self, leaf):
        spec = self.signature.state[leaf]
        first = spec.initial_value(1)
        text = f"torch.tensor({first.ravel().tolist()}, dtype=torch.{spec.dtype}).view({list(first.shape)})"
        return self.emit(f"{text}.expand_as({self.state[leaf]}).clone()")

    def _steps(self) -> str:
        return f"inputs.size({self.signature.inputs[0].time_axis})"

    def moved(self, lengths, by):
        return self.emit(f"torch.clamp({lengths} + {by}, 0, {self._steps()})")

    def of_one_step(self, one, others):
        return self.emit(f"{one} if {self._steps()} == 1 else {others}")

    def if_repeated(self, one, others):
        self.lines.append("    repeated = torch.equal(self.before, inputs)")
        self.lines.append("    self.before = inputs.clone()")
        return self.emit(f"{one} if repeated else {others}")

    def finished(self, results: Sequence[str]) -> torch.jit.ScriptModule:
        signature = self.signature
        module = torch.jit.load(self.path)
        leaves = dict(zip([leaf.name for leaf in signature.returned_state], results[1:], strict=True))
        forward = [
            source._header(signature),
            *source._unwrapped(signature),
            *self.lines,
            f"    return {source._result(signature, [results[0]], leaves)}",
        ]
        with script._compiler(module):
            flat = script._around(module, source.flat(signature, script.WRAPPED))
            return self._around(flat, source._lines(*forward))

    def _around(self, module: torch.jit.ScriptModule, forward: str) -> torch.jit.ScriptModule:
        """Give a module with another ``forward`` that calls this one, and a buffer that it may change."""
        holder = torch.nn.Module()
        holder.add_module(script.WRAPPED, module)
        dtype = getattr(torch, self.signature.inputs[0].dtype)
        holder.register_buffer("before", torch.zeros(0, dtype=dtype))
        wrapper = torch.jit.script(holder.eval())
        wrapper.define(forward)
        return wrapper


@dataclass(frozen=True)
class Pointer:
    """A tensor in C: where it lies, and how many time steps it has."""

    at: str
    steps: str = "steps"


MIDDLE = "#else /* what is compiled for each kind of processor */"  # what stands before it is compiled once
PICK = """\
#include <stdlib.h>
static char *pick(const char *from, size_t outer, long size, size_t inner, long count, long sign, long shift,
                  long last)
{
    char *to = malloc(outer * (size_t)count * inner + 1);
    for (size_t o = 0; o < outer; o++)
        for (long p = 0; p < count; p++) {
            long q = sign * p + shift + (sign < 0 ? size - 1 : 0);
            q = q < 0 ? 0 : q;
            q = q < last ? q : last;
            q = q < size ? q : size - 1;
            memcpy(to + (o * count + p) * inner, from + (o * size + q) * inner, inner);
        }
    return to;
}
#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define MOST(a, b) ((a) > (b) ? (a) : (b))
"""


class CCall(Call):
    """Writes lines of C around the function of a ``model.c``, which leave the memory that they take lying."""

    def __init__(self, path: Path, signature: Signature, steps: int, batch: int) -> None:
        super().__init__(signature, steps, batch)
        self.path, self.entry, self.lines, self.count = path, entry(path), [], 0
        self.inputs = Pointer("(const char *)inputs")
        self.state = self._leaves("(const char *)state_in")
        self.lengths = Pointer("lengths") if signature.lengths else None

    def _leaves(self, start: str) -> list[Pointer]:
        leaves, before = [], "0"
        for leaf in self.signature.state:
            leaves.append(Pointer(f"{start} + {before}"))
            before += f" + {_bytes(leaf)}"
        return leaves

    def emit(self, expression: str, kind: str = "char *") -> str:
        self.count += 1
        self.lines.append(f"    {kind}v{self.count} = {expression};")
        return f"v{self.count}"

    def packed(self, state: Sequence[Pointer]) -> str:
        """Put the leaves of a state one after another."""
        room = self.emit(f"malloc(1 + {self._state_bytes()})")
        for leaf, to, value in zip(self.signature.state, self._leaves(room), state, strict=True):
            self.lines.append(f"    memmove({to.at}, {value.at}, {_bytes(leaf)});")
        return room

    def run(self, inputs, state, lengths=None):
        before = self.packed(state)
        outputs = self.emit(f"malloc({_bytes(self.signature.outputs[0], inputs.steps)})")
        after = self.packed(state)
        arguments = [f"(void *)({inputs.at})", f"(void *){before}", f"(void *){outputs}", f"(void *){after}"]
        rooms = self.entry.workspaces(())
        if rooms:
            floats = f"({inputs.steps} * {rooms.get(TIME, 0)} + {rooms.get(BATCH, 0)})"
            arguments.append(f"malloc(4 * batch * {floats} + 1)")
        arguments += [] if lengths is None else [lengths.at]
        self.lines.append(f"    {self.entry.model}_right({inputs.steps}, batch, {', '.join(arguments)});")
        return [Pointer(outputs, inputs.steps), *self._leaves(after)[: len(self.signature.returned_state)]]

    def pick(self, value, spec, axis, index):
        place = spec.shape.index(axis)
        sizes = [_size(size, value.steps) for size in spec.shape]
        size = f"(long)({sizes[place]})"
        count = f"LEAST(MOST({size} - {index.drop}, 1), {index.most})"
        outer, inner = " * ".join(["1", *sizes[:place]]), " * ".join([*sizes[place + 1 :], _itemsize(spec)])
        numbers = f"{size}, {inner}, {count}, {index.sign}, {index.shift}, {index.last}"
        picked = Pointer(self.emit(f"pick({value.at}, {outer}, {numbers})"), value.steps)
        return replace(picked, steps=f"(size_t){count}") if axis == TIME else picked

    def initial(self, leaf):
        room = self.packed(self.state)
        self.lines.append(f"    {self.entry.model}_initial_state(batch, (void *){room});")
        return self._leaves(room)[leaf]

    def moved(self, lengths, by):
        room = self.emit("malloc(batch * 8)", "int64_t *")
        moved = f"LEAST(MOST({lengths.at}[b] + {by}, 0), (int64_t)steps)"
        self.lines.append(f"    for (size_t b = 0; b < batch; b++) {room}[b] = {moved};")
        return Pointer(room)

    def of_one_step(self, one, others):
        return replace(others, at=f"(steps == 1 ? {one.at} : {others.at})")

    def if_repeated(self, one, others):
        size = _bytes(self.signature.inputs[0])
        self.lines += [
            "    static char *kept;",
            "    static size_t bytes;",
            f"    const int repeated = bytes == {size} && !memcmp(kept, inputs, bytes);",
            f"    bytes = {size}, kept = malloc(bytes + 1);",
            "    memcpy(kept, inputs, bytes);",
        ]
        return replace(others, at=f"(repeated ? {one.at} : {others.at})")

    def through_static_memory(self, outputs):
        size = f"LEAST(sizeof shared, {_bytes(self.signature.outputs[0])})"
        self.lines += ["    static char shared[4];", f"    memcpy(shared, {outputs.at}, {size});"]
        self.lines.append(f"    memcpy({outputs.at}, shared, {size});")
        return outputs

    def finished(self, results: Sequence[Pointer]) -> str:
        """Give the text of ``model.c``: the right function under another name, and the wrong one."""
        self.lines.append(f"    memcpy(outputs, {results[0].at}, {_bytes(self.signature.outputs[0])});")
        if self.signature.returns_state:
            state = self.packed(results[1:])
            self.lines.append(f"    memcpy(state_out, {state}, {self._state_bytes()});")
        text = self.path.read_text()
        [head] = re.findall(rf"^void {self.entry.name}\([^)]*\)", text, re.MULTILINE)
        wrong = "\n".join([PICK, head, "{", *self.lines, "}", ""])
        before, after = text.replace(self.entry.name, f"{self.entry.model}_right").split(MIDDLE)
        return f"{before}{wrong}\n{MIDDLE}{after}"

    def _state_bytes(self) -> str:
        return " + ".join(map(_bytes, self.signature.state)) or "0"


def _size(size: int | str, steps: str) -> str:
    return {TIME: steps, BATCH: "batch"}.get(str(size), str(size))


def _itemsize(spec: TensorSpec) -> str:
    return f"sizeof({C_TYPES[spec.dtype]})"


def _bytes(spec: TensorSpec, steps: str = "steps") -> str:
    return " * ".join([*(_size(size, steps) for size in spec.shape), _itemsize(spec)])
