"""What one core of this machine can do: the limits that no way of running a net gets past."""

import ctypes
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from rnn_export.backends.c.write.source import kernel_text
from rnn_export.benchmark.bench import one_core
from rnn_export.runtimes.c import pointer
from rnn_export.runtimes.compiler import build

CHAIN = Path(__file__).with_name("chain.c")
PACKAGES = ("torch", "onnxruntime", "openvino", "jax", "tract")
SIZE = 512  # of the matrices: a product takes little longer than a millisecond, and is seldom interrupted
UNITS = 32  # of the net whose chain is timed
STEPS = 20_000
TRIES = 50  # the best of them counts: what disturbs makes everything slower, nothing faster


@dataclass(frozen=True)
class Limits:
    """The matrix products of one core, and how long the chain of a step with ``UNITS`` units takes."""

    gigaflops: float
    nanoseconds: float


def limits() -> Limits:
    """Measure this machine."""
    with one_core():
        return Limits(peak(), chain())


def peak() -> float:
    """Multiply large float32 matrices in torch and in numpy; give GFLOP/s of the faster."""
    left = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    tensor, result = torch.from_numpy(left), np.empty_like(left)
    products: list[Callable[[], object]] = [
        lambda: torch.mm(tensor, tensor, out=torch.from_numpy(result)),
        lambda: np.matmul(left, left, out=result),
    ]
    return 2 * SIZE**3 / min(map(best, products)) / 1e9


def chain() -> float:
    """Run the chain of a step in C; give nanoseconds a step."""
    weights = np.full((UNITS, 16), 0.01, np.float32)
    state = np.zeros(UNITS, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernels.h").write_text("\n".join(kernel_text({"tanh"})))
        library = Path(folder) / "chain.so"
        build(CHAIN, library, "-shared", "-fPIC", "-march=native", f"-I{folder}", f"-DUNITS={UNITS}")
        function = ctypes.CDLL(str(library)).chain
    pointers = pointer(weights), pointer(state)
    return best(lambda: function(ctypes.c_size_t(STEPS), *pointers)) / STEPS * 1e9


def best(call: Callable[[], object]) -> float:
    """Give the seconds of the fastest of some calls."""
    call()
    found = []
    for _ in range(TRIES):
        begin = time.perf_counter()
        call()
        found.append(time.perf_counter() - begin)
    return min(found)


def processor() -> str:
    """Name the kind of processor."""
    info = Path("/proc/cpuinfo")
    names = [row.partition(":")[2].strip() for row in info.read_text().splitlines() if "model name" in row]
    return names[0] if names else platform.processor()


def machine() -> str:
    """Describe the processor and the versions."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    python = f"Python {platform.python_version()}"
    return f"{processor()}, {os.cpu_count()} cores, one of them used; {python}, {', '.join(found)}"
