"""``model.pt`` holds what PyTorch writes for a module, and nothing that who reads a bundle refuses."""

import inspect
import io
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.backends import archive as torch_archive
from rnn_export.backends import torchscript
from rnn_export.bundle.untrusted import archive

X = torch.rand(4, 4)
Function = Callable[..., Any]
# Functions whose operators have a version of their own, and others.
FUNCTIONS: dict[str, Function] = {
    "gelu": nn.functional.gelu,
    "linspace": lambda x: torch.linspace(0, 1, 4) + x,
    "logspace": lambda x: torch.logspace(0, 1, 4) + x,
    "div_of_whole_numbers": lambda x: torch.arange(4) / torch.full((4,), 3) + x,
    "tanh": torch.tanh,
}
ARGUMENTS = [(), (4,), (4, 4), (4, 4, 4), (4, 4, 1, 1), ([4],), (nn.Linear(4, 4),), (nn.Linear(4, 4), 2)]
CALLS: list[Callable[[Function], Function]] = [
    lambda f: f,
    lambda f: lambda x: f(x, x),
    lambda f: lambda x: f(x, x, x),
    lambda f: lambda x: f(x, 1),
    lambda f: lambda x: f(x, 1, 2),
    lambda f: lambda x: f(0.0, 1.0, 4) + x,
]
UNSAFE = ("_", "set_", "manual_seed", "seed", "save", "load")  # change the process, or read and write files


def traced(function: Function) -> torch.jit.ScriptModule:
    class Called(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return function(x)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(Called(), (X,), check_trace=False)


def version(content: bytes) -> int:
    with zipfile.ZipFile(io.BytesIO(content)) as members:
        [number] = [
            members.read(name)
            for name in members.namelist()
            if name.partition("/")[2] in torch_archive.VERSIONS
        ]
    return int(number)


def check(scripted: torch.jit.ScriptModule, path: Path) -> torch.jit.ScriptModule:
    """Write a module, look at the file as at a bundle's, and load it."""
    torchscript.write(scripted, path)
    archive.check(path.read_bytes(), str(path))
    assert version(path.read_bytes()) == version(scripted.save_to_buffer())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(path)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operators_of_every_version_are_written_and_read(name: str, tmp_path: Path) -> None:
    loaded = check(traced(FUNCTIONS[name]), tmp_path / "model.pt")
    assert torch.equal(loaded(X), FUNCTIONS[name](X))


class Newer(nn.Module):
    """Operators that PyTorch has changed since it numbers their versions."""

    def __init__(self) -> None:
        super().__init__()
        self.i, self.h = nn.Linear(4, 5), nn.Linear(5, 5)
        self.head = nn.Sequential(nn.GELU(), nn.Linear(5, 2))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        out = []
        for x_t in x:
            h = torch.tanh(self.i(x_t) + self.h(h) + self.i.weight.sum() * torch.linspace(0, 1, 5))
            out.append(self.head(h))
        return torch.stack(out), h


@pytest.mark.exhaustive
def test_a_module_of_newer_operators_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Newer().eval()
    bundle = rnn_export.export(model, (torch.randn(6, 3, 4), torch.zeros(3, 5)), tmp_path / "bundle")
    assert {"model.pt", "model.onnx", "model.c"} <= {*bundle.manifest.files}


def modules() -> Iterator[torch.jit.ScriptModule]:
    """Script every module of ``torch.nn`` that can be made of small numbers, and be scripted."""
    for kind in vars(nn).values():
        if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
            continue
        for arguments in ARGUMENTS:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    scripted = torch.jit.script(kind(*arguments).eval())
                    scripted.save_to_buffer()
            except Exception:  # whatever it is: it cannot be made so, or not be scripted or saved
                continue
            yield scripted
            break


def functions(owner: ModuleType | type) -> Iterator[torch.jit.ScriptModule]:
    """Trace every function that takes a few tensors, or numbers."""
    for name in dir(owner):
        function = getattr(owner, name)
        if name.startswith(UNSAFE) or inspect.isclass(function) or not callable(function):
            continue
        for call in CALLS:
            try:
                call(function)(X.clone())
                module = traced(call(function))
                module.save_to_buffer()
            except Exception:  # whatever it is: it cannot be called so, or not be traced
                continue
            yield module


@pytest.mark.exhaustive
def test_whatever_pytorch_writes_is_read(tmp_path: Path) -> None:
    found = 0
    owners = (torch, nn.functional, torch.special, torch.Tensor)
    for scripted in [*modules(), *(module for owner in owners for module in functions(owner))]:
        check(scripted, tmp_path / "model.pt")
        found += 1
    assert found > 1000
