"""Trace what cannot be traced by itself: modules with TorchScript inside, and such as ask for ``len(x)``."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._ops import OpOverload
from torch.backends import mkldnn
from torch.export import ExportedProgram
from torch.func import functional_call
from torch.fx.experimental import _config
from torch.fx.experimental.proxy_tensor import make_fx
from torch.jit._fuser import optimized_execution
from torch.overrides import TorchFunctionMode

from rnn_export.capture.complex_numbers import in_reals, is_complex
from rnn_export.capture.decompositions import without_cancellation
from rnn_export.capture.free_numbers import NUMBERS, OURS
from rnn_export.exclusive import LOCK, without_warnings

FAKE_CONSTANT = "a fake tensor in the exported program constant's list"
ARITHMETIC = {"add", "mul", "multiply", "div", "divide", "truediv", "true_divide"}
aten = torch.ops.aten
Free = Sequence[Mapping[int, Any]]


def trace(
    module: nn.Module,
    arguments: Sequence[Tensor],
    free: Free,
    *,
    computed: bool = True,
    numbers: bool = False,
) -> ExportedProgram:
    """Trace a module that takes tensors alone.

    Args:
        module: ``forward(*tensors)``. What TorchScript runs of it is traced one operator after the other;
            sizes that it reads are fixed there.
        arguments: of one call.
        free: of each argument, the axes whose sizes are free, and what ``torch.export`` calls them.
        computed: whether complex numbers that are made of weights alone are computed now.
        numbers: whether ``int`` and ``float`` of a size are free as well.

    Raises:
        Exception: whatever upstream raises that cannot trace it, or has to fix a free size.
    """
    if is_scripted(module):
        return _exported(operators(module, arguments), arguments, free)
    with _free(module, numbers=numbers):
        traced = _without_wrapped_constants(module, arguments, free)
    without_cancellation(traced)
    return _exported(in_reals(traced, computed=computed), arguments, free) if is_complex(traced) else traced


def _without_wrapped_constants(module: nn.Module, arguments: Sequence[Tensor], free: Free) -> ExportedProgram:
    """Trace a module; where upstream takes a value within ``torch.vmap`` for a constant, its operators."""
    try:
        traced = torch.export.export(module, tuple(arguments), dynamic_shapes=(tuple(free),))
    except Exception as error:
        if FAKE_CONSTANT not in str(error):
            raise
    else:
        if not any(map(is_functorch_wrapped_tensor, traced.constants.values())):
            return traced
    return _exported(_without_vmap(module, arguments), arguments, free)


def _without_vmap(module: nn.Module, arguments: Sequence[Tensor]) -> fx.GraphModule:
    """Give the operators of a module that calls ``torch.vmap``, of which upstream makes constants of rows."""
    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}

    def run(*given: Tensor) -> Any:
        return functional_call(module, dict(zip(weights, given, strict=False)), given[len(weights) :])

    own = [weight.detach() for weight in weights.values()]
    # As many rows as a weight has are no size of the weight.
    with step_by_step(), _config.patch(use_duck_shape=False):  # type: ignore[attr-defined]
        traced: fx.GraphModule = make_fx(run, tracing_mode="symbolic")(*own, *arguments)
    traced.graph.eliminate_dead_code()
    holder = nn.Module()
    for (name, tensor), node in zip(
        weights.items(), [*traced.graph.find_nodes(op="placeholder")], strict=False
    ):
        set_at(holder, name, tensor)
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(traced.graph.get_attr(name))
        traced.graph.erase_node(node)
    for node in traced.graph.find_nodes(op="get_attr"):
        if node.target not in weights:
            holder.register_buffer(node.target, getattr(traced, node.target), persistent=False)
    return fx.GraphModule(holder, traced.graph).eval()


def _exported(graph: nn.Module, arguments: Sequence[Tensor], free: Free) -> ExportedProgram:
    return torch.export.export(graph, tuple(arguments), dynamic_shapes=tuple(free))


def scripted(
    module: nn.Module, arguments: Sequence[Tensor], *, numbers: bool = False
) -> torch.jit.ScriptModule:
    """Trace a module that takes tensors alone, as TorchScript; ``numbers`` is that of :func:`trace`."""
    with _free(module, numbers=numbers), _TruthValuesCast():
        traced: torch.jit.ScriptModule = torch.jit.trace(module, tuple(arguments), check_trace=False)  # type: ignore[no-untyped-call]
    return traced


class _TruthValuesCast(TorchFunctionMode):
    """Writes out what PyTorch does in ``x * mask``: ONNX multiplies no truth values, and is given none.

    ::

        x * mask     is x * mask.to(x.dtype)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function, with truth values among its operands cast if it computes with numbers."""
        name = getattr(func, "__name__", "").strip("_").removeprefix("r")
        others = [each.dtype for each in args if isinstance(each, Tensor) and each.dtype != torch.bool]
        if name in ARITHMETIC and len(args) > 1 and others:
            args = tuple(
                each.to(others[0]) if isinstance(each, Tensor) and each.dtype == torch.bool else each
                for each in args
            )
        return func(*args, **(kwargs or {}))


def scripted_operators(module: nn.Module, arguments: Sequence[Tensor]) -> torch.jit.ScriptModule:
    """Compile the operators of a call: where ``torch.vmap`` hides them from TorchScript's trace.

    Sizes that they read stay free, which such a trace of operators would fix.
    """
    with _free(module, numbers=False):
        graph = _without_vmap(module, arguments)
    for node in graph.graph.find_nodes(op="call_function", target=aten.sym_size.int):
        node.target = aten.size
    for node in graph.graph.nodes:
        if isinstance(node.target, OpOverload):
            node.target = node.target.overloadpacket  # an operator of TorchScript's as well
        if "device" in node.kwargs:  # a tensor is made
            node.kwargs = {"dtype": node.meta["val"].dtype}
    graph.recompile()
    compiled: torch.jit.ScriptModule = torch.jit.script(graph)
    return compiled


@contextmanager
def step_by_step() -> Iterator[None]:
    """Let recurrent layers run one time step after another: kernels for all of them crash on no rows."""
    with without_warnings(), mkldnn.flags(enabled=False):
        yield


@contextmanager
def _free(module: nn.Module, *, numbers: bool) -> Iterator[None]:
    """Let ``len(x)`` of a tensor be its first size: Python wants a number of it, which a trace would keep.

    ::

        torch.zeros(len(x), 8)             is torch.zeros(x.shape[0], 8)
        torch.zeros(int(x.shape[0]), 8)    as well, of ``numbers``

    That is so in the packages that the module's classes come from, as long as this lasts.
    """
    names = {"len": _length, **(NUMBERS if numbers else {})}
    with LOCK:
        changed = [(space, name) for space in _namespaces(module) for name in names if name not in space]
        for space, name in changed:
            space[name] = names[name]
        try:
            yield
        finally:
            for space, name in changed:
                del space[name]


def _length(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) and value.dim() else len(value)


def _namespaces(module: nn.Module) -> list[dict[str, Any]]:
    """List the global names of each file of the packages that a module comes from, but PyTorch and this."""
    packages = {type(each).__module__.partition(".")[0] for each in module.modules()} - OURS
    return [
        vars(found)
        for name, found in [*sys.modules.items()]
        if name.partition(".")[0] in packages and isinstance(found, ModuleType)
    ]


def is_scripted(module: nn.Module) -> bool:
    """Whether TorchScript runs a module, or a part of it."""
    return any(isinstance(each, torch.jit.ScriptModule) for each in module.modules())


def operators(module: nn.Module, arguments: Sequence[Tensor]) -> nn.Module:
    """Give the operators that a call runs; parameters and buffers keep their names."""
    with optimized_execution(False):
        traced: fx.GraphModule = make_fx(module, tracing_mode="real", pre_dispatch=True)(*arguments)
    traced.graph.eliminate_dead_code()  # sizes that are read, too: to run that would fix them
    names = {
        _place(tensor): name
        for name, tensor in (*module.named_buffers(remove_duplicate=False), *module.named_parameters())
    }
    holder = nn.Module()
    for node in traced.graph.find_nodes(op="get_attr"):
        tensor = getattr(traced, node.target)
        if name := names.get(_place(tensor)):
            node.target = name
            set_at(holder, name, tensor)
        else:
            holder.register_buffer(node.target, tensor, persistent=False)
    return fx.GraphModule(holder, traced.graph).eval()


def _place(tensor: Tensor) -> tuple[object, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def set_at(holder: nn.Module, name: str, tensor: Tensor, *, persistent: bool = True) -> None:
    """Put a tensor where its name says; one that is not persistent is no weight."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(holder, part):
            holder.add_module(part, nn.Module())
        holder = getattr(holder, part)
    if isinstance(tensor, nn.Parameter):
        holder.register_parameter(last, tensor)
    else:
        holder.register_buffer(last, tensor, persistent=persistent)
