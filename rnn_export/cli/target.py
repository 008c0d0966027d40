"""``MODULE:FACTORY``, ``FILE.py:FACTORY`` or ``FILE.pt``: find the model that a command is about."""

import inspect
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from rnn_export.cli.checkpoint import load_checkpoint
from rnn_export.cli.user_code import SEVERAL, functions_of, imported, users_code
from rnn_export.errors import InputError, TargetError, mismatch, nearest

EXAMPLE = "Write a function that returns (model, args), or (model, args, kwargs): what model(...) takes."
SCRIPTED = ".pt"
WEIGHTS = {".bin", ".ckpt", ".pth", ".safetensors"}


def load_target(
    target: str, shape: str | None = None, checkpoint: Path | None = None
) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Import a factory and call it, or load a saved ScriptModule; give the model, its args and its kwargs.

    Args:
        target: ``package.module:factory``, ``path/to/file.py:factory``, or ``path/to/file.pt``, which is
            code: load what you trust.
        shape: for a ``.pt``, the shape of inputs to try it on, such as ``"100,2,16"``, or ``"100,2"`` for
            token ids.
        checkpoint: a file of weights for the model that the factory builds.

    Raises:
        TargetError: there is no such file, module or factory, or it fails, or gives something else than
            ``(model, args)`` or ``(model, args, kwargs)``; a shape is missing, or given for a factory; or
            the weights are those of another model.
    """
    if target.endswith(SCRIPTED):
        if checkpoint is not None:
            remedy = f"A FILE{SCRIPTED} holds its weights: leave it out."
            raise TargetError(mismatch("--checkpoint", "a factory", repr(target), remedy))
        return _load_scripted(target, shape)
    place, name = _parted(target)
    if shape is not None:
        raise TargetError(mismatch("shape", f"a FILE{SCRIPTED} to try it on", repr(target), EXAMPLE))
    factory = _factory(imported(place, name), place, name)
    with users_code(target, "Return instead, or raise an error."):
        made = factory()
    model, args, kwargs = _example_of(made, target)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint)
    return model, args, kwargs


def _parted(target: str) -> tuple[str, str]:
    """Take ``PLACE:NAME`` apart."""
    place, separator, name = target.rpartition(":")
    if separator and place and name:
        return place, name
    remedy, suffix = EXAMPLE, Path(target).suffix
    if suffix == ".onnx":
        remedy = f"To improve an ONNX file: rnn-export optimize {target} --out OUT.onnx"
    elif suffix in WEIGHTS:
        remedy = f"Name what builds the model, too: FILE.py:FACTORY --checkpoint {target}"
    elif suffix == ".py":
        functions = ", ".join(functions_of(Path(target))[:SEVERAL])
        remedy = f"Name the function: {target}:FACTORY{f'; there are {functions}' if functions else ''}."
    raise TargetError(mismatch("target", "MODULE:FACTORY or FILE.py:FACTORY", repr(target), remedy))


def _factory(module: ModuleType, place: str, name: str) -> Callable[[], Any]:
    """Find a function that can be called without arguments."""
    where, factory = f"{name!r} in {place}", getattr(module, name, None)
    if factory is None:
        known = [each for each, value in vars(module).items() if callable(value)]
        raise TargetError(mismatch(where, "a function", "no such name", nearest(name, known, EXAMPLE)))
    if isinstance(factory, type | nn.Module) or not callable(factory):
        kind = f"the class {name}" if isinstance(factory, type) else f"a {type(factory).__name__}"
        raise TargetError(mismatch(where, "a function", kind, EXAMPLE))
    found: Callable[[], Any] = factory
    signature = inspect.signature(found)
    try:
        signature.bind()
    except TypeError as error:
        got = f"{name}{signature}"
        raise TargetError(mismatch(where, "a function without arguments", got, EXAMPLE)) from error
    return found


def _example_of(made: Any, target: str) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Check what a factory gave."""
    parts = made if isinstance(made, tuple) else ()
    kwargs = parts[2] if len(parts) == 3 else {}
    if len(parts) in (2, 3) and isinstance(parts[0], nn.Module) and isinstance(kwargs, dict):
        return parts[0], parts[1], kwargs
    expected = "(torch.nn.Module, args) or (torch.nn.Module, args, kwargs)"
    kinds = ", ".join(type(part).__name__ for part in made) if isinstance(made, tuple | list) else ""
    got, remedy = type(made).__name__, EXAMPLE
    if isinstance(made, nn.Module):
        remedy = "Return the example too: (model, args), what model(...) takes."
    elif isinstance(made, list):
        got, remedy = f"a list of {kinds}", "Return a tuple: (model, args)."
    elif isinstance(made, tuple):
        got = f"({kinds})"
    raise TargetError(mismatch(f"result of {target}", expected, got, remedy))


def _load_scripted(path: str, shape: str | None) -> tuple[nn.Module, Any, dict[str, Any]]:
    """Load a ScriptModule, and draw inputs for it."""
    try:
        sizes = [int(size) for size in (shape or "").split(",")]
    except ValueError as error:
        remedy = "Pass --shape: time steps, batch and features, or the first two for token ids."
        got = "none" if shape is None else repr(shape)
        raise TargetError(mismatch("shape of the inputs", "sizes such as 100,2,16", got, remedy)) from error
    if not Path(path).is_file():
        raise TargetError(f"{path}: no such file in {Path.cwd()}. Name a saved ScriptModule.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        remedy = f"Name a saved ScriptModule; of a state dict: FILE.py:FACTORY --checkpoint {path}"
        raise TargetError(f"{path} cannot be loaded: {reason}. {remedy}") from error
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    inputs = torch.randint(2, sizes) if len(sizes) == 2 else torch.randn(sizes, dtype=dtype)
    return model, inputs, {}


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
