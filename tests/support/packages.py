"""Nets of packages that bring more than their nets need: the file of a net, without the package around it.

`make` installs the packages of the group `nets` into a folder of its own, without what they depend on: some
want another torch, and one brings modules that are called `tests`. What a file imports, and its net never
calls, is stood in for while it is imported: a stand-in that is called raises, so nothing of a net is made up.
The packages around a file stay in ``sys.modules``, without what their ``__init__`` does.
"""

import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

NETS = Path(sys.prefix) / "nets"


class NotCalled(type):
    """Of an empty class: it can be imported, named in an annotation and derived from, but not called."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        raise NotImplementedError(f"{cls.__module__}.{cls.__name__} is absent: its stand-in was called")


class Absent(ModuleType):
    """A module that a file imports and its net does not use: whatever is asked of it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return NotCalled(name, (), {"__module__": self.__name__})


class Bare(Loader):
    """Loads a package without its ``__init__``, or a module that is absent."""

    def __init__(self, kind: type[ModuleType]) -> None:
        self.kind = kind

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.kind(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class Finder(MetaPathFinder):
    """Finds what stands in NETS: the packages around a file are bare, and some modules are absent."""

    def __init__(self, file: str, absent: Sequence[str]) -> None:
        parts = file.split(".")
        self.around = {".".join(parts[:count]) for count in range(1, len(parts))}
        self.absent = absent

    def find_spec(self, name: str, path: Sequence[str] | None = None, _: Any = None) -> ModuleSpec | None:
        if any(f"{name}.".startswith(f"{absent}.") for absent in self.absent):
            return ModuleSpec(name, Bare(Absent), is_package=True)
        if name not in self.around:
            return PathFinder.find_spec(name, path or [str(NETS)], None)
        spec = ModuleSpec(name, Bare(ModuleType), is_package=True)
        spec.submodule_search_locations = [str(NETS.joinpath(*name.split(".")))]
        return spec


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
    """Import one module of a package in NETS, such as ``package.layers.recurrent``.

    absent -- modules that it imports, at whatever depth, and that its nets do not use
    """
    with found(Finder(name, absent)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the packages do while they are imported
        return importlib.import_module(name)
