"""What a module keeps between two calls: parameters, buffers, attributes that are tensors or numbers."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rnn_export.errors import ModelError, class_name, mismatch
from rnn_export.module.calling import equal
from rnn_export.signature.tree import map_leaves, tree_leaves

Result = TypeVar("Result")
PYTORCHS = frozenset(vars(nn.Module()))  # attributes that every module has
CHANGES = "changes {} of the module, a buffer or an attribute. Take that as a state, and return the new one."


class KeptError(ModelError):
    """A module keeps something between two calls, in attributes that the message names."""


def values(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Give parameters, buffers, and attributes that are tensors, nested or not, or numbers, with their paths.

    Of a module that TorchScript compiled, the attributes that it sets.
    """
    for path, module in model.named_modules():
        for name, value in _own(module).items():
            leaves = [] if name in PYTORCHS else tree_leaves(value)
            if leaves and all(isinstance(leaf, Tensor) for leaf in leaves):
                yield f"{path}.{name}".lstrip("."), map_leaves(value, lambda leaf: leaf.detach().clone())
            elif isinstance(value, int | float):
                yield f"{path}.{name}".lstrip("."), value


def _own(module: nn.Module) -> dict[str, Any]:
    """Give the parameters, buffers and attributes of a module, without those of modules inside of it."""
    own = {**vars(module), **vars(module).get("_parameters", {}), **vars(module).get("_buffers", {})}
    return {**own, **_set_by(module)} if isinstance(module, torch.jit.ScriptModule) else own


def _set_by(module: torch.jit.ScriptModule) -> dict[str, Any]:
    """Give the attributes that methods of a compiled module set: it has no list of all."""
    methods = map(module._c._get_method, module._c._method_names())
    names = {node.s("name") for method in methods for node in method.graph.findAllNodes("prim::SetAttr")}
    return {name: module._c.getattr(name) for name in names if module._c.hasattr(name)}


def tensors(value: Any) -> list[Tensor]:
    """List the tensors of an attribute."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def starts(model: nn.Module) -> list[Tensor]:
    """List what a state may begin with: all tensors and fractions, also beside what is neither."""
    found = list[Tensor]()
    for module in model.modules():
        for name, value in _own(module).items():
            for leaf in [] if name in PYTORCHS else tree_leaves(value):
                if isinstance(leaf, Tensor | float):
                    found.append(torch.as_tensor(leaf).detach().clone())
    return found


def changed(model: nn.Module, before: Mapping[str, Any]) -> list[str]:
    """Name what is different from what :func:`values` gave before."""
    return [path for path, value in values(model) if not _same(value, before.get(path))]


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, int | float):
        return type(value) is type(other) and bool(value == other)
    return type(value) is type(other) and equal(tensors(value), tensors(other))


def watched(model: nn.Module, run: Callable[[], Result]) -> tuple[Result, list[str]]:
    """Run a module; give the result, and name what of the module the call has changed.

    Raises:
        ModelError: it changes parameters, if only to the numbers that they have.
    """
    before = dict(values(model))
    versions = {name: parameter._version for name, parameter in model.named_parameters()}
    result = run()
    names = [name for name, parameter in model.named_parameters() if parameter._version != versions[name]]
    if names:
        raise ModelError(
            mismatch(
                f"a call of {class_name(model)}",
                "parameters that stay as they are",
                f"new numbers in {', '.join(names)}",
                "A file cannot change its weights: change them before the export, and not in forward().",
            )
        )
    return result, changed(model, before)
