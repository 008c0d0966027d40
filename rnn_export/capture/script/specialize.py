"""Operators that PyTorch's exporter of TorchScript lacks, written as others before it sees them.

A scripted module names neither shapes nor ranks. Its example is run once, and what is seen there is written
into the graph, inside of loops and branches as well. That it holds of other calls is for the verification of
the files to see::

    n = aten::dim(x)                       ->    n = 2
    y = aten::gru_cell(x, h, w, u, b, d)   ->    i = aten::linear(x, w, b)  ...  y = aten::add_(z, n)
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.jit._fuser import optimized_execution
from torch.jit._recursive import wrap_cpp_module
from torch.library import Library
from torch.onnx._internal.torchscript_exporter import utils
from torch.onnx._internal.torchscript_exporter.registration import registry
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_export.capture.decompositions import DECOMPOSITIONS

Arguments = list[Any]  # of an operator, those that are left out too
Constants = tuple[str, ...]  # what is no tensor in them
Decomposition = Callable[..., Any]

compiler: Any = torch._C  # whose own annotations lack most of it
RANK = "rnn_export::rank"
COMPOSITE = "CompositeImplicitAutograd"  # what PyTorch itself writes as other operators
OVER_TIME = (torch.ops.aten.lstm_cell.default,)  # which the exporter writes as a loop of one time step
PACKED = ("aten::gru", "aten::lstm", "aten::rnn_tanh", "aten::rnn_relu")  # with ``batch_sizes`` behind
library: Any = Library("rnn_export", "DEF")  # type: ignore[no-untyped-call]
library.define("rank(Tensor x, int node) -> int")
library.impl("rank", lambda x, _: x.dim(), "CompositeExplicitAutograd")


class Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What an example shows: the ranks at each node that asks, and the calls of some operators."""

    def __init__(self, operators: Mapping[Any, Decomposition]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = operators
        self.ranks: dict[int, set[int]] = defaultdict(set)
        self.calls: dict[tuple[Any, Constants], list[Arguments]] = defaultdict(list)

    def __torch_dispatch__(
        self, operator: Any, _: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note a call, and do it."""
        kwargs = kwargs or {}
        if operator is torch.ops.rnn_export.rank.default:
            self.ranks[args[1]].add(args[0].dim())
        elif operator in self.operators:
            others = operator._schema.arguments[len(args) :]
            arguments = [*args, *(kwargs.get(other.name, other.default_value) for other in others)]
            constants = tuple("" if _tensors(argument) else _written(argument) for argument in arguments)
            self.calls[operator, constants].append(arguments)
        return operator(*args, **kwargs)


def specialized(
    module: torch.jit.ScriptModule, example: Sequence[Tensor], opset: int
) -> torch.jit.ScriptModule:
    """Give a module in other operators; what the example does not reach, or does in two ways, is left."""
    utils._trigger_symbolic_function_registration()  # the exporter does not know what it has before
    inlined = [*_nodes(module.inlined_graph)]
    operators = {operator for node in inlined if (operator := _operator(node))}
    known = {operator: how for operator in operators if (how := _decomposition(operator, opset))}
    if not known and not any(node.kind() == "aten::dim" or _gives_state_alone(node) for node in inlined):
        return module
    graph = module.forward.graph  # type: ignore[attr-defined]
    compiler._jit_pass_onnx_function_substitution(graph)  # which looks for calls: before they are resolved
    frozen = compiler._freeze_module(module._c, preserveParameters=True)
    given: torch.jit.ScriptModule = wrap_cpp_module(frozen)  # type: ignore[no-untyped-call]
    _rewrite(given, known, example)
    rewritten = given.forward.graph  # type: ignore[attr-defined]
    for node in [node for node in _nodes(rewritten) if _gives_state_alone(node)]:
        _read_outputs(rewritten, node)
    return given


def _gives_state_alone(node: Any) -> bool:
    """Whether a layer runs over packed sequences whose outputs nobody reads."""
    return (
        node.kind() in PACKED
        and "batch_sizes" in node.schema()
        and not node.outputsAt(0).uses()
        and any(output.uses() for output in node.outputs())
    )


def _read_outputs(graph: Any, node: Any) -> None:
    """Let the new state of such a layer read none of its outputs: the exporter wants them to be read."""
    data, sizes = torch.zeros(1, 1), torch.ones(1, dtype=torch.int64)
    definition = torch.jit.trace(_and_none_of, (torch.zeros(1, 1, 1), data, sizes), check_trace=False).graph  # type: ignore[no-untyped-call]
    compiler._jit_pass_lower_all_tuples(definition)
    compiler._jit_pass_erase_shape_information(definition)
    state = next(output for output in node.outputs() if output.uses())
    uses = [(use.user, use.offset) for use in state.uses()]
    behind = graph.insertConstant(0).node()
    behind.moveAfter(node)
    with graph.insert_point_guard(behind):
        [read] = graph.insertGraph(definition, [state, node.outputsAt(0), node.inputsAt(1)])
    behind.destroy()
    for user, place in uses:
        user.replaceInput(place, read)


def _and_none_of(state: Tensor, data: Tensor, batch_sizes: Tensor) -> Tensor:
    """Add the sum of no outputs, which is zero, to a state ``[layers, batch, features]``."""
    padded, _ = torch._VF._pad_packed_sequence(data, batch_sizes, False, 0.0, -1)
    return state + padded[:0].sum((0, 2))[None, :, None]


def _rewrite(
    module: torch.jit.ScriptModule, known: Mapping[Any, Decomposition], example: Sequence[Tensor]
) -> None:
    """Run an example, and write into the graph what it shows."""
    graph = module.forward.graph  # type: ignore[attr-defined]
    calling = [(node, operator, _constants(node)) for node in _nodes(graph) if (operator := _operator(node))]
    asking = [_asked(graph, node, number) for number, node in enumerate(graph.findAllNodes("aten::dim"))]
    with torch.inference_mode(), Seen(known) as seen, optimized_execution(False):
        module(*example)
    for number, node in enumerate(asking):
        _answer(graph, node, seen.ranks[number])
    definitions = {call: _definition(call[0], known[call[0]], calls) for call, calls in seen.calls.items()}
    for node, *call in calling:
        if definition := definitions.get(tuple(call)):
            _write_out(graph, node, definition, seen.calls[tuple(call)][0])


def _nodes(block: Any) -> Iterator[Any]:
    """Give the nodes of a graph, and those inside of them."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _operator(node: Any) -> Any:
    """Give the operator that a node calls, if it is one for tensors and changes none of them."""
    name = node.schema().partition("(")[0]
    if not name.startswith("aten::") or not compiler._dispatch_has_kernel(name):
        return None
    packet, _, overload = name.removeprefix("aten::").partition(".")
    operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
    return None if operator._schema.is_mutable else operator


def _decomposition(operator: Any, opset: int) -> Decomposition | None:
    """Give the function that an operator is to be written as, if the exporter lacks it or loses digits."""
    if operator in OWN:
        return OWN[operator]
    if operator not in OVER_TIME and registry.is_registered_op(operator._schema.name, opset):
        return None
    if compiler._dispatch_has_kernel_for_dispatch_key(operator.name(), COMPOSITE):
        decompose: Decomposition = operator.decompose
        return decompose
    others = torch.export.default_decompositions()  # each is loaded when it is asked for
    if operator not in others:
        return None
    found: Decomposition = others[operator]
    return found


def unfold(x: Tensor, axis: int, size: int, step: int) -> Tensor:
    """Gather windows along an axis, of which the exporter has to know the size."""
    starts = torch.arange((x.shape[axis] - size) // step + 1) * step
    windows = x.index_select(axis, (starts[:, None] + torch.arange(size)).flatten())
    axis %= x.dim()
    apart = windows.reshape([*x.shape[:axis], -1, size, *x.shape[axis + 1 :]])
    order = [*range(x.dim() + 1)]
    return apart.permute(*order[: axis + 1], *order[axis + 2 :], axis + 1)


OWN = {
    **DECOMPOSITIONS,
    torch.ops.aten.unfold.default: unfold,
}


def _tensors(argument: Any) -> list[Tensor]:
    """Give the tensors in an argument: one, several in a list, or none."""
    return [leaf for leaf in _pytree.tree_leaves(argument) if isinstance(leaf, Tensor)]


def _written(constant: Any) -> str:
    """Write a constant down: a whole number is a number, as a default may be and the node's own is not."""
    return repr(float(constant) if type(constant) is int else constant)


def _constants(node: Any) -> Constants:
    """Give the constants that a node gives to its operator; ``?`` for what is computed."""
    found = []
    for value in node.inputs():
        constant = _written(value.toIValue()) if value.node().kind() == "prim::Constant" else "?"
        found.append("" if "Tensor" in str(value.type()) else constant)
    return tuple(found)


def _asked(graph: Any, node: Any, number: int) -> Any:
    """Let a node of a number tell the rank that it gives."""
    with graph.insert_point_guard(node):
        asked = graph.insertNode(graph.create(RANK, [*node.inputs(), graph.insertConstant(number)]))
    asked.output().setType(node.output().type())
    node.replaceAllUsesWith(asked)
    node.destroy()
    return asked


def _answer(graph: Any, node: Any, ranks: set[int]) -> None:
    """Write the rank in the place of a node that asks for it; leave the question if there is none, or two."""
    value, _ = node.inputs()
    with graph.insert_point_guard(node):
        if len(ranks) == 1:
            answer = graph.insertConstant(*ranks)
        else:
            answer = graph.insertNode(graph.create("aten::dim", [value])).output()
            answer.setType(node.output().type())
    node.output().replaceAllUsesWith(answer)
    node.destroy()


def _definition(operator: Any, how: Decomposition, calls: list[Arguments]) -> Any:
    """Give the one graph that calls of an operator have with their constants, or ``None``."""
    forms = {str([(tensor.dtype, tensor.shape) for tensor in _tensors(call)]): call for call in calls}
    graphs = [_traced(operator, how, call) for call in forms.values()]
    return graphs[0] if len({*map(str, graphs)}) == 1 else None


def _traced(operator: Any, how: Decomposition, arguments: Arguments) -> Any:
    """Give what a call does as a graph of its tensors; ``None`` if that is not known."""
    leaves, structure = _pytree.tree_flatten(arguments)
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    named = [argument.name for argument in operator._schema.arguments if argument.kwarg_only]

    def call(*tensors: Tensor) -> Any:
        filled = dict(enumerate(leaves)) | dict(zip(places, tensors, strict=True))
        values = _pytree.tree_unflatten(filled.values(), structure)
        split = len(values) - len(named)
        return how(*values[:split], **dict(zip(named, values[split:], strict=True)))

    with torch.no_grad():
        tensors = tuple(leaves[place].clone() for place in places)
        if call(*tensors) is NotImplemented:
            return None
        graph = torch.jit.trace(call, tensors, check_trace=False).graph  # type: ignore[no-untyped-call]
    compiler._jit_pass_lower_all_tuples(graph)
    compiler._jit_pass_erase_shape_information(graph)
    return graph


def _write_out(graph: Any, node: Any, definition: Any, arguments: Arguments) -> None:
    """Put a definition in the place of a node."""
    with graph.insert_point_guard(node):
        inputs: list[Any] = []
        for value, argument in zip(node.inputs(), arguments, strict=True):
            if isinstance(argument, Tensor):
                inputs.append(value)
            elif tensors := _tensors(argument):
                unpacked = graph.insertNode(graph.create("prim::ListUnpack", [value], len(tensors)))
                inputs += unpacked.outputs()
        results = graph.insertGraph(definition, inputs)
    for old, new in zip(node.outputs(), results, strict=True):
        old.replaceAllUsesWith(new)
    node.destroy()
