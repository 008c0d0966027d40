"""``MODULE:FACTORY`` or ``FILE.py:FACTORY``: find the model that a command is about."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from rnn_export.errors import TargetError, mismatch

EXAMPLE = "Write a function that returns (model, example), example being (inputs, state)."


def load_target(target: str) -> tuple[nn.Module, Any]:
    """Import a factory and call it.

    Args:
        target: ``package.module:factory`` or ``path/to/file.py:factory``.

    Raises:
        TargetError: there is no such module or factory, or it fails, or gives something else than
            ``(model, example)``.
    """
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
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], nn.Module):
        kinds = [type(part).__name__ for part in made] if isinstance(made, tuple) else type(made).__name__
        raise TargetError(mismatch(f"result of {target}", "(torch.nn.Module, example)", kinds, EXAMPLE))
    return made


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
