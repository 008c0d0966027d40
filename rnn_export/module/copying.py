"""A copy of the user's module, as plain as it can be: what an export works on.

Some modules hold another one and call it, or compute their weights anew in each call. In eval mode the
results are the same without that, which neither TorchScript nor the exporters take. In the copy it is done
once::

    torch.compile(net), nn.DataParallel(net)   ->  net
    weight_norm(linear), spectral_norm(linear) ->  linear, its weight the one that forward() sees
    hardtanh.min_val: float = 0                ->  0.0
"""

import copy
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

PARALLEL = nn.DataParallel, nn.parallel.DistributedDataParallel
OVERLOAD = "forward__0"
NONE: Mapping[int, Tensor] = {}
WEIGHT_HOOKS = WeightNorm, SpectralNorm, BasePruningMethod  # compute a weight before each call


class _Detached(TorchFunctionMode):
    """Copies a tensor that was computed from parameters, which PyTorch refuses: the numbers that it holds."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Copy a tensor, or call any other function."""
        if function is Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return function(*args, **(kwargs or {}))


def copied(model: nn.Module, others: Mapping[int, Tensor] = NONE) -> nn.Module:
    """Copy a module, scripted or not, to the CPU and without gradients; what is around it is left off.

    ``others`` take the places of tensors, which are not copied then, by the ids of these.
    """
    memo: dict[int, Any] = dict(others)
    with torch.no_grad(), _Detached():
        for module in reversed([*model.modules()]):  # what lies inside comes first
            inner = _inner(module)
            if inner is not None:
                memo[id(module)] = copy.deepcopy(inner, memo)
        twin: nn.Module = copy.deepcopy(model, memo)
    with torch.no_grad():
        for module in [*twin.modules()]:
            _fold_weights(module)
            _as_annotated(module)
        twin = twin.cpu()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin


def with_forward(model: nn.Module) -> nn.Module:
    """Give a module that TorchScript compiled with overloads alone a ``forward``, which calls the first one.

    It compiles the recurrent layers of ``torch.nn`` so, which then can be called by other modules alone.
    """
    if not isinstance(model, torch.jit.ScriptModule) or not model._c._has_method(OVERLOAD):
        return model
    holder = nn.Module()
    holder.add_module("module", model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        wrapper: torch.jit.ScriptModule = torch.jit.script(holder.eval())
    takes = model._c._get_method(OVERLOAD).schema.arguments[1:]
    typed = ", ".join(
        f"{each.name}: {each.type.annotation_str}{' = None' * each.has_default_value()}" for each in takes
    )
    names = ", ".join(each.name for each in takes)
    wrapper.define(f"def forward(self, {typed}):\n    return self.module.{OVERLOAD}({names})\n")
    return wrapper


def _inner(module: nn.Module) -> nn.Module | None:
    """Give the module that another one calls, if it does nothing else."""
    compiler = sys.modules.get("torch._dynamo.eval_frame")  # imported if anything was compiled
    if compiler and isinstance(module, compiler.OptimizedModule):
        inner: nn.Module = module._orig_mod
        return inner
    return module.module if isinstance(module, PARALLEL) else None


def _as_annotated(module: nn.Module) -> None:
    """Let whole numbers that a class says to be floats be floats: ``nn.Hardtanh(0, 20)``, say.

    Python takes one for the other, TorchScript does not.
    """
    for kind in type(module).__mro__:
        for name, annotation in vars(kind).get("__annotations__", {}).items():
            if annotation in (float, "float") and type(vars(module).get(name)) is int:
                setattr(module, name, float(getattr(module, name)))


def _fold_weights(module: nn.Module) -> None:
    """Let weights that are computed in each call be parameters, or buffers, of the numbers that they have."""
    for key, hook in [*module._forward_pre_hooks.items()]:
        if isinstance(hook, WEIGHT_HOOKS):
            hook.remove(module)
            del module._forward_pre_hooks[key]
    if isinstance(module, torch.jit.ScriptModule) or not parametrize.is_parametrized(module):
        return
    lists: Any = module.parametrizations.eval()  # type: ignore[union-attr]
    weights = {name: getattr(module, name).detach().clone() for name in lists}
    if not all(torch.equal(weight, getattr(module, name)) for name, weight in weights.items()):
        return  # they are drawn anew: that is seen, and refused, later
    learned = {name for name in lists if [*lists[name].parameters(recurse=False)]}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module._modules["parametrizations"]
    for name, weight in weights.items():
        if name in learned:
            module.register_parameter(name, nn.Parameter(weight))
        else:
            module.register_buffer(name, weight)
