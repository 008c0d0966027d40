"""Run a bundle's recurrent net in Python without torch: whole sequences, or a stream step by step.

Two runtimes with one interface: ``onnxruntime`` runs ``model.onnx``; ``c`` compiles ``model.c`` once and
calls it through ctypes alone. Arrays are numpy's.
"""

import ctypes
import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
State = tuple[Array, ...]
BUILD = Path(__file__).parent / "build"


class Model(Protocol):
    """A recurrent net. Inputs, outputs and leaves of the state have the shapes that the manifest gives."""

    name: str
    manifest: dict[str, Any]

    def initial_state(self, batch: int) -> State:
        """Give the state that a sequence begins with, in the manifest's order."""

    def run(self, inputs: Array, state: State | None = None) -> tuple[Array, State]:
        """Run some time steps, from the initial state if there is none; give outputs and the new state.

        Raises:
            ValueError: an array has another dtype or shape.
        """


class Session:
    """A sequence of time steps for some rows, and the state in between."""

    def __init__(self, model: Model, batch: int = 1) -> None:
        self.model = model
        self.batch = batch
        self.state = model.initial_state(batch)

    def step(self, inputs: Array) -> Array:
        """Take one time step: ``inputs`` and the outputs have no time axis. After an error nothing changed.

        Raises:
            ValueError: the inputs have another dtype or shape.
        """
        axis = time_axis(self.model.manifest["signature"]["inputs"]) or 0
        outputs, self.state = self.model.run(np.expand_dims(inputs, axis), self.state)
        steps = time_axis(self.model.manifest["signature"]["outputs"])
        return outputs if steps is None else outputs.squeeze(steps)

    def reset(self, state: State | None = None) -> None:
        """Go on from a state, or from the initial one."""
        self.state = self.model.initial_state(self.batch) if state is None else state


def load(folder: str | Path, runtime: str = "onnxruntime") -> Model:
    """Load a bundle's model.

    Raises:
        ValueError: there is no such runtime.
        OSError: there is no bundle.
    """
    runtimes: dict[str, type[_Base]] = {"onnxruntime": OnnxModel, "c": CModel}
    if runtime not in runtimes:
        raise ValueError(f"runtime: expected one of {', '.join(runtimes)}, got {runtime!r}")
    return runtimes[runtime](Path(folder))


def time_axis(tensor: dict[str, Any]) -> int | None:
    """Tell which axis of a tensor of the manifest is time; ``None``: it belongs to the last time step."""
    return tensor["shape"].index("time") if "time" in tensor["shape"] else None


class _Base:
    """What both runtimes have in common: the manifest, and the check of a call against it."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.resolve().name
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        signature = self.manifest["signature"]
        self.inputs, self.leaves, self.outputs = (signature[part] for part in ("inputs", "state", "outputs"))

    def initial_state(self, batch: int) -> State:
        return tuple(self._initial(leaf, batch) for leaf in self.leaves)

    def run(self, inputs: Array, state: State | None = None) -> tuple[Array, State]:
        sizes = self._bind(self.inputs, inputs, {})
        state = self.initial_state(sizes["batch"]) if state is None else state
        if len(state) != len(self.leaves):
            raise ValueError(f"state: expected {len(self.leaves)} arrays, got {len(state)}")
        for leaf, value in zip(self.leaves, state, strict=True):
            self._bind(leaf, value, sizes)
        return self._run(inputs, state, sizes)

    def _run(self, inputs: Array, state: State, sizes: dict[str, int]) -> tuple[Array, State]:
        raise NotImplementedError

    @staticmethod
    def _initial(leaf: dict[str, Any], batch: int) -> Array:
        """Repeat a leaf's first row, a number or nested lists, for every row."""
        units = [size for size in leaf["shape"] if size != "batch"]
        row = np.broadcast_to(np.asarray(leaf["initial"], leaf["dtype"]), units)
        return np.repeat(
            np.expand_dims(row, leaf["shape"].index("batch")), batch, leaf["shape"].index("batch")
        )

    @staticmethod
    def _bind(spec: dict[str, Any], value: Array, sizes: dict[str, int]) -> dict[str, int]:
        """Check an array against the manifest; give what time and batch are with it."""
        free = dict(zip(spec["shape"], value.shape, strict=False))
        sizes = {axis: size for axis, size in free.items() if isinstance(axis, str)} | sizes
        shape = tuple(sizes.get(axis, axis) for axis in spec["shape"])
        if value.dtype.name != spec["dtype"] or value.shape != shape or not prod(shape):
            expected, got = f"{spec['dtype']} {spec['shape']}", f"{value.dtype.name} {list(value.shape)}"
            raise ValueError(f"{spec['name']}: expected {expected} of at least one step and row, got {got}")
        return sizes


class OnnxModel(_Base):
    """``model.onnx`` in ONNX Runtime, on one thread."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime  # noqa: PLC0415 (model.c runs without)

        super().__init__(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        self._names = [self.inputs["name"], *(leaf["name"] for leaf in self.leaves)]
        self._results = [self.outputs["name"], *(leaf["output_name"] for leaf in self.leaves)]

    def _run(self, inputs: Array, state: State, sizes: dict[str, int]) -> tuple[Array, State]:
        feed = dict(zip(self._names, (inputs, *state), strict=True))
        outputs, *after = self._session.run(self._results, feed)
        return outputs, tuple(after)


class CModel(_Base):
    """``model.c``, compiled into a shared library and called through ctypes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._function = ctypes.CDLL(str(compiled(folder)))[f"{self.name}_run"]
        self._function.argtypes = [ctypes.c_size_t, ctypes.c_size_t, *[ctypes.c_void_p] * 4]
        self._function.restype = None

    def _run(self, inputs: Array, state: State, sizes: dict[str, int]) -> tuple[Array, State]:
        inputs = np.ascontiguousarray(inputs)
        flat = np.frombuffer(bytearray(b"".join(leaf.tobytes() for leaf in state)), np.float32)
        outputs = np.empty([sizes.get(size, size) for size in self.outputs["shape"]], np.float32)
        addresses = (array.ctypes.data for array in (inputs, flat, outputs, flat))
        self._function(sizes["time"], sizes["batch"], *addresses)
        return outputs, tuple(_split(flat, state))


def _split(flat: Array, like: Sequence[Array]) -> list[Array]:
    """Take the leaves apart that model.c has one after another."""
    ends = np.cumsum([leaf.nbytes for leaf in like])
    pieces = np.split(flat.view(np.uint8), ends[:-1])
    return [piece.view(leaf.dtype).reshape(leaf.shape) for piece, leaf in zip(pieces, like, strict=True)]


def compiled(folder: Path) -> Path:
    """Compile a bundle's ``model.c`` with ``$CC`` or ``cc``, unless it was before; give the shared library.

    Raises:
        subprocess.CalledProcessError: the compiler fails; it says why.
        OSError: there is no compiler, or no ``model.c``.
    """
    source = folder.resolve() / "model.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    library = BUILD / f"{source.parent.name}-{digest}.so"
    if not library.exists():
        BUILD.mkdir(exist_ok=True)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        options = ["-O2", "-shared", "-fPIC", str(source), "-o", f"{library}.{os.getpid()}"]
        subprocess.run([*compiler, *options], check=True)  # noqa: S603
        os.replace(f"{library}.{os.getpid()}", library)
    return library
