"""Wrong files of ``torch.export``: a right program is changed, or called wrongly, and exported again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map_only

from rnn_export.backends import torch_export
from rnn_export.runtimes.torch_export import program
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import TIME
from tests.support.mutant_calls import Call, Index
from tests.support.mutant_nodes import DENOMINATOR, LARGEST, NUMERATOR, _coarse, _near_sigmoid, _near_tanh

aten = torch.ops.aten
PRODUCTS = (
    "matmul",
    "mm",
    "bmm",
    "addmm",
    "baddbmm",
    "linear",
    "einsum",
    "rnn_tanh",
    "rnn_relu",
    "gru",
    "lstm",
)
Given = dict[str, Tensor]


@dataclass(eq=False)
class Value:
    """A tensor of a call that is still to be made: ``make`` computes it from what the call is given."""

    make: Callable[[Given], Any]
    known: list[tuple[Given, Any]] = field(default_factory=list)

    def __call__(self, given: Given) -> Any:
        """Compute it, once a call."""
        if not self.known or self.known[0][0] is not given:
            self.known[:] = [(given, self.make(given))]
        return self.known[0][1]


class ExportedCall(Call):
    """Writes operators of PyTorch around a saved program."""

    def __init__(self, path: Path, signature: Signature, steps: int, batch: int) -> None:
        super().__init__(signature, steps, batch)
        self.module = program(path).module()

        def argument(name: str) -> Value:
            return Value(lambda given: given[name])

        self.inputs = argument(signature.inputs[0].name)
        self.state = [argument(leaf.name) for leaf in signature.state]
        self.lengths = argument("lengths") if signature.lengths else None

    def run(self, inputs, state, lengths=None):
        values = [inputs, *state, *([] if lengths is None else [lengths])]
        names = self.signature.input_names

        def results(given: Given) -> Given:
            named = dict(zip(names, (value(given) for value in values), strict=True))
            found = self.module(*(named[name] for name in self.signature.file_inputs))
            return dict(zip(self.signature.file_outputs, found, strict=True))

        every = Value(results)
        return [Value(lambda given, name=name: every(given)[name]) for name in self.signature.output_names]

    def pick(self, value, spec, axis, index):
        place = spec.shape.index(axis)

        def picked(given: Given) -> Tensor:
            tensor = value(given)
            size = count = tensor.shape[place]
            if index.drop:  # a number that upstream does not compare with the example's
                count = (torch.full((), size) - index.drop).clamp(min=1).item()
                torch._check(count >= 1)
            if index.most < Index.most:
                count = torch.sym_min(count, index.most)
            places = torch.arange(count) * index.sign + index.shift
            places = places + (size - 1) if index.sign < 0 else places
            last = torch.full((), size - 1).clamp(max=index.last)
            return tensor.index_select(place, torch.minimum(places.clamp(min=0), last))

        return Value(picked)

    def initial(self, leaf):
        first = torch.tensor(self.signature.state[leaf].initial_value(1))
        return Value(lambda given: first.expand_as(self.state[leaf](given)).clone())

    def _steps(self, given: Given) -> Any:
        return self.inputs(given).shape[self.signature.inputs[0].shape.index(TIME)]

    def moved(self, lengths, by):
        return Value(
            lambda given: torch.minimum(
                (lengths(given) + by).clamp(min=0), torch.full((), self._steps(given))
            )
        )

    def of_one_step(self, one, others):
        return Value(
            lambda given: torch.where(torch.full((), self._steps(given)) == 1, one(given), others(given))
        )

    def finished(self, results: Sequence[Value]) -> Any:
        signature = self.signature
        named = dict(zip(signature.output_names, results, strict=True))

        def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
            given = dict(zip(signature.file_inputs, tensors, strict=True))
            return tuple(named[name](given).clone() for name in signature.file_outputs)

        return again(self.module, forward, signature)


def again(module: nn.Module, forward: Callable[..., Any], signature: Signature) -> Any:
    """Export what a function makes of a module that it calls."""
    holder = nn.Module()
    holder.add_module("right", module)
    holder.forward = torch_export._with_names(forward, signature.file_inputs)
    return torch_export.exported(holder, signature)


def near_exported_activations(graph: fx.GraphModule) -> bool:
    """Compute tanh and sigmoid by a rational function."""
    numbers = (*NUMERATOR, *DENOMINATOR, LARGEST)
    near = {aten.tanh.default: _near_tanh, aten.sigmoid.default: _near_sigmoid}

    def wrong(target: Any) -> Any:
        def activation(x: Tensor) -> Tensor:
            return near[target](x, *numbers)

        return activation if target in near else None

    return _replaced(graph, wrong)


def coarse_exported_products(graph: fx.GraphModule) -> bool:
    """Round what goes into matrix products, weights and activations, to bfloat16."""

    def wrong(target: Any) -> Any:
        def product(*arguments: Any) -> Tensor:
            return target(*tree_map_only(Tensor, _coarse, arguments))

        kind = str(getattr(target, "overloadpacket", "")).removeprefix("aten.")
        return product if kind in PRODUCTS else None

    return _replaced(graph, wrong)


def _replaced(graph: fx.GraphModule, wrong: Callable[[Any], Any]) -> bool:
    """Call wrong functions in the place of operators, in a graph and in those inside of it."""
    found = False
    for inner in (module for module in graph.modules() if isinstance(module, fx.GraphModule)):
        for node in [node for node in inner.graph.nodes if node.op == "call_function"]:
            if (function := wrong(node.target)) is not None:
                node.target, found = function, True
        inner.recompile()
    return found
