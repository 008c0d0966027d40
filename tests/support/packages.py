"""Nets of packages that bring more than their nets need: the file that defines a net, without the package around it.

`make` installs the packages of the group `nets` into a folder of its own, without what they depend on, as some need
another torch, or bring modules that are called `tests`.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

NETS = Path(sys.prefix) / "nets"


class Absent(ModuleType):
    """A module that a file imports and its net does not use: whatever is asked of it is an empty class."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Bare(Loader):
    """Loads a package without its ``__init__``, or a module that is not installed as one without contents."""

    def __init__(self, places: list[str] | None) -> None:
        self.places = places

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name) if self.places else Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if self.places:
            module.__path__ = self.places


class Finder(MetaPathFinder):
    """Finds what stands in NETS; the packages around ``file`` are bare, and those that are ``absent`` are empty."""

    def __init__(self, file: str, absent: tuple[str, ...]) -> None:
        parts = file.split(".")
        self.around = {".".join(parts[:count]) for count in range(1, len(parts))}
        self.absent = absent

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name.split(".")[0] in self.absent:
            return ModuleSpec(name, Bare(None), is_package=True)
        if name in self.around:
            folder = [str(NETS / name.replace(".", "/"))]
            return ModuleSpec(name, Bare(folder), is_package=True)
        return PathFinder.find_spec(name, path or [str(NETS)], None)


@contextmanager
def found(finder: Finder) -> Iterator[None]:
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, Absent)]:
            del sys.modules[name]


def file_of(name: str, *absent: str) -> Any:
    """Import one module, such as ``package.layers.recurrent``, of a package in NETS.

    absent -- modules that it imports, at whatever depth, and that its nets do not use
    """
    with found(Finder(name, absent)):
        return importlib.import_module(name)
