"""``MODULE:FACTORY``, ``FILE.py:FACTORY`` or ``FILE.pt``: find the model that a command is about."""

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from rnn_export.errors import InputError, TargetError, mismatch

EXAMPLE = "Write a function that returns (model, args), or (model, args, kwargs): what model(...) takes."
SCRIPTED = ".pt"


def load_target(target: str, shape: str | None = None) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Import a factory and call it, or load a saved ScriptModule; give the model, its args and its kwargs.

    Args:
        target: ``package.module:factory``, ``path/to/file.py:factory``, or ``path/to/file.pt``, which is
            code: load what you trust.
        shape: for a ``.pt``, the shape of inputs to try it on, such as ``"100,2,16"``, or ``"100,2"`` for
            token ids.

    Raises:
        TargetError: there is no such file, module or factory, or it fails, or gives something else than
            ``(model, args)`` or ``(model, args, kwargs)``; or a shape is missing, or given for a factory.
    """
    if target.endswith(SCRIPTED):
        return _load_scripted(target, shape)
    if shape is not None:
        raise TargetError(mismatch("shape", f"a FILE{SCRIPTED} to try it on", repr(target), EXAMPLE))
    place, separator, name = target.rpartition(":")
    if not separator or not place or not name:
        raise TargetError(mismatch("target", "MODULE:FACTORY or FILE.py:FACTORY", repr(target), EXAMPLE))
    factory = getattr(_import(place), name, None)
    if not callable(factory):
        got = "no such name" if factory is None else type(factory).__name__
        raise TargetError(mismatch(f"{name!r} in {place}", "a function", got, EXAMPLE))
    try:
        made = factory()
    except Exception as error:
        raise TargetError(f"{target} failed: {type(error).__name__}: {error}. {EXAMPLE}") from error
    parts = made if isinstance(made, tuple) else ()
    kwargs = parts[2] if len(parts) == 3 else {}
    if len(parts) not in (2, 3) or not isinstance(parts[0], nn.Module) or not isinstance(kwargs, dict):
        kinds = [type(part).__name__ for part in made] if isinstance(made, tuple) else type(made).__name__
        expected = "(torch.nn.Module, args) or (torch.nn.Module, args, kwargs)"
        raise TargetError(mismatch(f"result of {target}", expected, kinds, EXAMPLE))
    return parts[0], parts[1], kwargs


def _load_scripted(path: str, shape: str | None) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Load a ScriptModule, and draw inputs for it."""
    try:
        sizes = [int(size) for size in (shape or "").split(",")]
    except ValueError as error:
        remedy = "Pass --shape: time steps, batch and features, or the first two for token ids."
        raise TargetError(mismatch("shape of the inputs", "sizes such as 100,2,16", shape, remedy)) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise TargetError(f"{path} cannot be loaded: {reason}. Name a saved ScriptModule.") from error
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    inputs = torch.randint(2, sizes) if len(sizes) == 2 else torch.randn(sizes, dtype=dtype)
    return model, inputs, {}


def _import(place: str) -> ModuleType:
    sys.path.insert(0, "")  # as python -m does: modules of the current folder
    try:
        return _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:
        raise TargetError(
            f"{place} cannot be imported: {type(error).__name__}: {error}. Name a module or a .py file."
        ) from error
    finally:
        sys.path.remove("")


def _import_file(path: Path) -> ModuleType:
    path = path.resolve(strict=True)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path):
        raise ImportError(f"a module called {path.stem!r} is loaded already, rename the file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # TorchScript looks the source up there
    spec.loader.exec_module(module)
    return module


def named_options(option: str, values: Sequence[str] | None) -> list[tuple[str, str]]:
    """Read options such as ``speaker=context``.

    Raises:
        InputError: one has no name.
    """
    pairs = [value.partition("=") for value in values or ()]
    for name, sign, value in pairs:
        if not name or not sign or not value:
            raise InputError(mismatch(option, "NAME=VALUE", repr(name), "Name an argument of forward()."))
    return [(name, value) for name, _, value in pairs]


def axes_of(text: str) -> tuple[str | None, ...]:
    """Read which axis is which.

    >>> axes_of("batch,time,_")
    ('batch', 'time', None)
    """
    return tuple(None if axis.strip() == "_" else axis.strip() for axis in text.split(","))
