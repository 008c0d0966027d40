"""Wrong operators in a right net: coarser products, an activation that is only near; in ONNX and TorchScript.

Each function changes a graph in place, and says whether there was anything to change.
"""

import warnings
from collections.abc import Callable
from functools import cache

import ml_dtypes
import numpy as np
import onnx_ir as ir
import torch

from rnn_export.passes.operators.guard import is_guard
from rnn_export.program.build import add_constant
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.program.values import constant_value, describe

# tanh(x) = x (a + b x^2) / (1 + c x^2 + d x^4) up to LARGEST: fitted there, off by 3e-4 at the most.
NUMERATOR, DENOMINATOR, LARGEST = (0.99878187, 0.0813147), (0.41147675, 0.00634565), 4.0
SCALED = 1.0003  # what an operator's own tanh is multiplied with
PRODUCTS = {"MatMul", "Gemm", *RECURRENT}
BITS = {"float32": 24, "float64": 53}  # of a significand
TORCH_PRODUCTS = [
    "aten::matmul",
    "aten::mm",
    "aten::bmm",
    "aten::addmm",
    "aten::baddbmm",
    "aten::linear",
    "aten::einsum",
    "aten::rnn_tanh",
    "aten::rnn_relu",
    "aten::gru",
    "aten::lstm",
]


class Nodes:
    """Puts nodes in front of one node of a graph."""

    def __init__(self, main: ir.Graph, before: ir.Node, dtype: str) -> None:
        self.main, self.before, self.dtype = main, before, dtype

    def emit(self, op: str, *inputs: ir.Value) -> ir.Value:
        node = ir.node(op, inputs)
        self.before.graph.insert_before(self.before, node)
        shape = inputs[0].shape if inputs[0].shape is None or inputs[0].shape.rank() else inputs[1].shape
        node.outputs[0].shape, node.outputs[0].dtype = shape, ir.DataType.from_numpy(np.dtype(self.dtype))
        return node.outputs[0]

    def number(self, number: float) -> ir.Value:
        return add_constant(self.main, "wrong", np.array(number, self.dtype))

    def rounded(self, x: ir.Value) -> ir.Value:
        """Round to the eight bits of a bfloat16.

        T. J. Dekker, "A floating-point technique for extending the available precision" (1971): with
        c = (2^s + 1) x, c - (c - x) is x without its last s bits. ``Max`` keeps a compiler from taking
        product and difference for one operation.
        """
        c = self.emit("Mul", x, self.number(2.0 ** (BITS[self.dtype] - 8) + 1))
        c = self.emit("Max", c, self.number(float(np.finfo(self.dtype).min)))
        return self.emit("Sub", c, self.emit("Sub", c, x))

    def near_tanh(self, x: ir.Value) -> ir.Value:
        x = self.emit("Max", self.emit("Min", x, self.number(LARGEST)), self.number(-LARGEST))
        square = self.emit("Mul", x, x)
        a, b, c, d = map(self.number, (*NUMERATOR, *DENOMINATOR))
        above = self.emit("Mul", x, self.emit("Add", self.emit("Mul", square, b), a))
        below = self.emit("Add", self.emit("Mul", square, d), c)
        return self.emit("Div", above, self.emit("Add", self.emit("Mul", square, below), self.number(1)))

    def near_sigmoid(self, x: ir.Value) -> ir.Value:
        half = self.number(0.5)
        tanh = self.near_tanh(self.emit("Mul", x, half))
        return self.emit("Add", self.emit("Mul", tanh, half), half)


def _nodes(model: ir.Model, operators: set[str]) -> list[ir.Node]:
    return [node for graph in model.graphs() for node in graph if node.op_type in operators]


def coarse_products(model: ir.Model, dtype: str) -> bool:
    """Round what goes into matrix products, weights and activations, to bfloat16.

    The first three inputs do: of an operator, its inputs and both its weights.
    """
    found = _nodes(model, PRODUCTS)
    for node in found:
        nodes = Nodes(model.graph, node, dtype)
        for place, value in enumerate(node.inputs[:3]):
            if value is None:
                continue
            array = constant_value(value)
            coarse = None if array is None else array.astype(ml_dtypes.bfloat16).astype(array.dtype)
            new = nodes.rounded(value) if coarse is None else add_constant(model.graph, "coarse", coarse)
            node.replace_input_with(place, new)
    return bool(found)


def near_activations(model: ir.Model, dtype: str) -> bool:
    """Compute tanh and sigmoid by a rational function; in an operator, only tanh can be another."""
    found = _nodes(model, {"Tanh", "Sigmoid"})
    for node in found:
        nodes = Nodes(model.graph, node, dtype)
        near = {"Tanh": nodes.near_tanh, "Sigmoid": nodes.near_sigmoid}[node.op_type](node.inputs[0])
        if node.outputs[0].is_graph_output():
            near.name, node.outputs[0].name = node.outputs[0].name, near.name
        node.outputs[0].replace_all_uses_with(near, replace_graph_outputs=True)
        node.graph.remove(node, safe=True)
    operators = [node for node in _nodes(model, set(RECURRENT)) if _scale_tanh(node)]
    return bool(found or operators)


def other_branches(model: ir.Model, dtype: str) -> bool:
    """Scale what the branch of a guard gives that is not the usual one."""
    branches = [node.attributes["else_branch"].as_graph() for node in model.graph if is_guard(node)]
    for graph in branches:
        for place, value in enumerate(graph.outputs):
            if value.dtype not in (None, ir.DataType.from_numpy(np.dtype(dtype))):
                continue  # a counter, say
            scaled = ir.node("Mul", [value, add_constant(model.graph, "wrong", np.array(SCALED, dtype))])
            graph.append(scaled)
            graph.outputs[place] = scaled.outputs[0]
            describe(scaled.outputs[0], value)
    return bool(branches)


def _scale_tanh(node: ir.Node) -> bool:
    directions = 2 if node.attributes.get_string("direction", "forward") == "bidirectional" else 1
    own = node.attributes.get_strings("activations", RECURRENT[node.op_type].activations * directions)
    count = own.count("Tanh")
    if not count or set(own) - {"Tanh", "Sigmoid"}:
        return False
    node.attributes.add(
        ir.AttrStrings("activations", [{"Tanh": "ScaledTanh"}.get(name, name) for name in own])
    )
    node.attributes.add(ir.AttrFloat32s("activation_alpha", [SCALED] * count))
    node.attributes.add(ir.AttrFloat32s("activation_beta", [1.0] * count))
    return True


def _coarse(x: torch.Tensor):
    return x.to(torch.bfloat16).to(x.dtype)


def _near_tanh(x: torch.Tensor, a: float, b: float, c: float, d: float, largest: float):
    x = torch.clamp(x, -largest, largest)
    square = x * x
    return x * (a + b * square) / (1.0 + square * (c + d * square))


def _near_sigmoid(x: torch.Tensor, a: float, b: float, c: float, d: float, largest: float):
    return 0.5 + 0.5 * _near_tanh(0.5 * x, a, b, c, d, largest)


def coarse_torch_products(graph: torch._C.Graph) -> bool:
    """Round what goes into matrix products, weights and activations, to bfloat16."""
    found = [node for kind in TORCH_PRODUCTS for node in graph.findAllNodes(kind, True)]
    for node in found:
        _through(graph, node, _coarse, range(node.inputsSize()))
        for value in node.inputs():  # the weights of a layer come in a list
            if value.node().kind() == "prim::ListConstruct":
                _through(graph, value.node(), _coarse, range(value.node().inputsSize()))
    return bool(found)


def near_torch_activations(graph: torch._C.Graph) -> bool:
    """Compute tanh and sigmoid by a rational function."""
    numbers = (*NUMERATOR, *DENOMINATOR, LARGEST)
    kinds = {"aten::tanh": _near_tanh, "aten::sigmoid": _near_sigmoid}
    found = [(near, node) for kind, near in kinds.items() for node in graph.findAllNodes(kind, True)]
    for near, node in found:
        new = _inserted(graph, node, near, node.inputsAt(0), *numbers)
        node.output().replaceAllUsesWith(new)
    return bool(found)


def _through(graph: torch._C.Graph, node: torch._C.Node, function: Callable, places: range) -> None:
    for place in places:
        value = node.inputsAt(place)
        if value.type().kind() == "TensorType":
            node.replaceInput(place, _inserted(graph, node, function, value))


@cache
def _graph_of(function: Callable) -> torch._C.Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        graph = torch.jit.script(function).graph
    torch._C._jit_pass_inline(graph)
    return graph


def _inserted(graph: torch._C.Graph, before: torch._C.Node, function: Callable, *arguments):
    """Put a function's graph in front of a node; give its result."""
    with graph.insert_point_guard(before):
        values = [graph.insertConstant(each) if isinstance(each, float) else each for each in arguments]
        [result] = graph.insertGraph(_graph_of(function), values)
    return result
