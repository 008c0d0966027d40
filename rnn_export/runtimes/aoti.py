"""AOTInductor: PyTorch compiles an exported program to a library for C++ and Python, in an archive.

The library is for the kind of processor that it is compiled on, and holds the weights.
"""

from pathlib import Path

import numpy as np
import torch
from torch._inductor import aoti_compile_and_package, aoti_load_package
from torch._inductor.exc import CppCompileError, InvalidCxxCompiler
from torch._inductor.utils import fresh_cache
from torch.export import ExportedProgram

from rnn_export.errors import BuildError, RuntimeUnavailableError
from rnn_export.program.quiet import quiet
from rnn_export.runtimes.torch_export import caller
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME

NAME = "AOTInductor"
ERROR = ": error: "  # in what a compiler says
FEWEST = 3  # time steps, rows, ... of an example: sizes of 0 and 1 are compiled for by themselves


def build(program: ExportedProgram, signature: Signature, target: Path) -> None:
    """Compile a program into a package, whose name ends with ``.pt2``: that takes a minute.

    What the compiler leaves lies beside the target, in a folder that is removed.

    Raises:
        RuntimeUnavailableError: there is no C++ compiler.
        BuildError: AOTInductor, or the compiler, fails.
    """
    program._example_inputs = _example(signature), {}  # which a bundle's file has not
    try:
        with quiet(), torch.no_grad(), fresh_cache(dir=str(target.parent)):
            aoti_compile_and_package(program, package_path=str(target))
    except Exception as error:  # upstream's are of many kinds, and hold each other
        causes = [error, error.__cause__, error.__context__, getattr(error, "inner_exception", None)]
        if any(isinstance(cause, InvalidCxxCompiler) for cause in causes):
            raise RuntimeUnavailableError(
                f"{NAME} finds no C++ compiler. Install g++, or set CXX."
            ) from error
        reason = str(next((cause for cause in causes if isinstance(cause, CppCompileError)), error))
        lines = [line.strip() for line in reason.splitlines() if line.strip()] or [type(error).__name__]
        first = next((line.partition(ERROR)[2] for line in lines if ERROR in line), lines[0])
        raise BuildError(f"{NAME} cannot compile {target.name}: {first}. Use another file.") from error


def _example(signature: Signature) -> tuple[torch.Tensor, ...]:
    """Make the arguments of a call in the order of the files, no two of whose free sizes are alike."""
    sizes = {name: FEWEST + place for place, name in enumerate((TIME, BATCH, *signature.free_sizes))}
    specs = {spec.name: spec for spec in signature.arguments}
    arrays = [np.zeros(specs[name].sized(**sizes), specs[name].dtype) for name in signature.file_inputs]
    return tuple(map(torch.from_numpy, arrays))


def start(package: Path, signature: Signature) -> Call:
    """Load a package: code that runs with your rights.

    Raises:
        RuntimeError: PyTorch refuses it.
    """
    with quiet():
        return caller(aoti_load_package(str(package)), signature)
