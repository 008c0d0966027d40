"""Run a bundle's recurrent net in Python without torch: whole sequences, or a stream step by step.

Two runtimes with one interface: ``onnxruntime`` runs ``model.onnx``; ``c`` compiles ``model.c`` once and
calls it through ctypes alone. Arrays are numpy's.

A net with one tensor of inputs takes an array, one with several takes a dict of arrays by name; outputs are
given in the same way.
"""

import ctypes
import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
State = tuple[Array, ...]
Inputs = Array | Mapping[str, Array]  # one array, or several by name
Outputs = Any  # an array, or a dict of several by name: which of them, the manifest says
FORMAT_VERSION = 2  # of manifest.json
BUILD = Path(__file__).parent / "build"
C_TYPES = {"bool": "int32"}  # of what model.c has in another way


class Model(Protocol):
    """A recurrent net. Inputs, leaves of the state and outputs have the shapes that the manifest gives."""

    name: str
    manifest: dict[str, Any]
    inputs: list[dict[str, Any]]
    leaves: list[dict[str, Any]]
    outputs: list[dict[str, Any]]

    def initial_state(self, batch: int) -> State:
        """Give the state that a sequence begins with, in the manifest's order."""

    def run(self, inputs: Inputs, state: State | None = None) -> tuple[Outputs, State]:
        """Run some time steps, from the initial state if there is none; give outputs and the new state.

        Raises:
            ValueError: an array is missing, has another dtype or shape, or there is no such token id.
        """


class Session:
    """A sequence of time steps for some rows, and the state in between."""

    def __init__(self, model: Model, batch: int = 1) -> None:
        self.model = model
        self.batch = batch
        self.state = model.initial_state(batch)

    def step(self, inputs: Inputs) -> Outputs:
        """Take one time step: neither inputs nor outputs have a time axis. After an error nothing changed.

        What is the same for all time steps, a context, goes into every step as it is.

        Raises:
            ValueError: an array is missing, has another dtype or shape, or there is no such token id.
        """
        given = by_name(self.model.inputs, inputs)
        arrays = {spec["name"]: _with_time(spec, given[spec["name"]]) for spec in self.model.inputs}
        outputs, self.state = self.model.run(arrays, self.state)
        results = by_name(self.model.outputs, outputs)
        return alone(
            {spec["name"]: _without_time(spec, results[spec["name"]]) for spec in self.model.outputs}
        )

    def reset(self, state: State | None = None) -> None:
        """Go on from a state, or from the initial one.

        Raises:
            ValueError: the state is none of this model, or of another number of rows.
        """
        initial = self.model.initial_state(self.batch)
        state = initial if state is None else state
        expected, got = ([f"{leaf.dtype} {leaf.shape}" for leaf in leaves] for leaves in (initial, state))
        if expected != got:
            raise ValueError(f"state: expected {expected}, got {got}")
        self.state = state


def load(folder: str | Path, runtime: str = "onnxruntime") -> Model:
    """Load a bundle's model.

    Raises:
        ValueError: there is no such runtime, or a file is damaged.
        OSError: there is no bundle, or no C compiler.
    """
    runtimes: dict[str, type[_Base]] = {"onnxruntime": OnnxModel, "c": CModel}
    if runtime not in runtimes:
        raise ValueError(f"runtime: expected one of {', '.join(runtimes)}, got {runtime!r}")
    return runtimes[runtime](Path(folder))


def time_axis(tensor: dict[str, Any]) -> int | None:
    """Tell which axis of a tensor of the manifest is time; ``None``: it is a context, or of the last step."""
    return tensor["shape"].index("time") if "time" in tensor["shape"] else None


def by_name(specs: Sequence[dict[str, Any]], given: Inputs) -> dict[str, Array]:
    """Give arrays by name, of which one that is alone needs none.

    Raises:
        ValueError: one is missing, or there is no such name.
    """
    names = [spec["name"] for spec in specs]
    if isinstance(given, Mapping):
        if sorted(given) != sorted(names):
            raise ValueError(f"expected arrays called {', '.join(names)}, got {', '.join(given) or 'none'}")
        return dict(given)
    if len(names) > 1:
        expected, got = f"a dict of arrays called {', '.join(names)}", type(given).__name__
        raise ValueError(f"expected {expected}, got {got}")
    return {names[0]: given}


def alone(arrays: dict[str, Array]) -> Outputs:
    """Give the array itself where there is one, else all by name."""
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def _with_time(spec: dict[str, Any], step: Array) -> Array:
    axis = time_axis(spec)
    return step if axis is None else np.expand_dims(step, axis)


def _without_time(spec: dict[str, Any], result: Array) -> Array:
    axis = time_axis(spec)
    return result if axis is None else result.squeeze(axis)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what a bundle tells of a net that can be streamed.

    Raises:
        ValueError: it is of another format, or cannot be streamed.
        OSError: there is none.
    """
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if manifest.get("format_version") != FORMAT_VERSION:
        expected, got = f"manifest format {FORMAT_VERSION}", manifest.get("format_version")
        raise ValueError(f"{folder}: expected {expected}, got {got}: export and scaffold with one rnn-export")
    signature = manifest["signature"]
    if not signature["streamable"] or signature["lengths"]:
        raise ValueError(f"{folder}: expected a net that can be streamed, without lengths, got another one")
    return manifest


class _Base:
    """What both runtimes have in common: the manifest, and the check of a call against it."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.resolve().name
        self.manifest = read_manifest(folder)
        signature = self.manifest["signature"]
        self.leaves: list[dict[str, Any]] = signature["state"]
        self.inputs: list[dict[str, Any]] = signature["inputs"]
        self.outputs: list[dict[str, Any]] = signature["outputs"]

    def initial_state(self, batch: int) -> State:
        return tuple(self._initial(leaf, batch) for leaf in self.leaves)

    def run(self, inputs: Inputs, state: State | None = None) -> tuple[Outputs, State]:
        given = by_name(self.inputs, inputs)
        arrays = tuple(given[spec["name"]] for spec in self.inputs)
        sizes: dict[str, int] = {}
        for spec, array in zip(self.inputs, arrays, strict=True):
            sizes = self._bind(spec, array, sizes)
        state = self.initial_state(sizes["batch"]) if state is None else state
        if len(state) != len(self.leaves):
            raise ValueError(f"state: expected {len(self.leaves)} arrays, got {len(state)}")
        for leaf, value in zip(self.leaves, state, strict=True):
            self._bind(leaf, value, sizes)
        for spec, array in zip(self.inputs, arrays, strict=True):
            self._check_tokens(spec, array)
        outputs, after = self._run(arrays, state, sizes)
        names = [spec["name"] for spec in self.outputs]
        return alone(dict(zip(names, outputs, strict=True))), after

    def _run(
        self, inputs: tuple[Array, ...], state: State, sizes: dict[str, int]
    ) -> tuple[list[Array], State]:
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
        """Check an array against the manifest; give what time, batch and other free sizes are with it."""
        free = dict(zip(spec["shape"], value.shape, strict=False))
        sizes = {axis: size for axis, size in free.items() if isinstance(axis, str)} | sizes
        shape = tuple(sizes.get(axis, axis) for axis in spec["shape"])
        if value.dtype != np.dtype(spec["dtype"]) or value.shape != shape or not prod(shape):
            expected, got = f"{spec['dtype']} {spec['shape']}", f"{value.dtype} {list(value.shape)}"
            raise ValueError(f"{spec['name']}: expected {expected} of at least one step and row, got {got}")
        return sizes

    @staticmethod
    def _check_tokens(spec: dict[str, Any], inputs: Array) -> None:
        """Refuse token ids that there are not: runtimes differ in what they make of them."""
        end = spec.get("vocabulary")
        if end is None:
            return
        outside = np.argwhere((inputs < 0) | (inputs >= end))
        if outside.size:
            place = outside[0].tolist()
            expected, got = f"a token id from 0 to {end - 1}", inputs[tuple(place)]
            raise ValueError(f"{spec['name']}{place}: expected {expected}, got {got}")


def sized(spec: dict[str, Any], sizes: dict[str, int]) -> list[int]:
    """Give the shape of a tensor of the manifest, with numbers for its free sizes."""
    return [sizes.get(size, size) for size in spec["shape"]]


class OnnxModel(_Base):
    """``model.onnx`` in ONNX Runtime, on one thread."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime  # noqa: PLC0415 (model.c runs without)

        super().__init__(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised
        with _as_value_error(folder / "model.onnx"):
            self._session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        self._names = [spec["name"] for spec in (*self.inputs, *self.leaves)]
        self._results = [spec["name"] for spec in self.outputs]
        self._results += [leaf["output_name"] for leaf in self.leaves]

    def _run(
        self, inputs: tuple[Array, ...], state: State, sizes: dict[str, int]
    ) -> tuple[list[Array], State]:
        feed = dict(zip(self._names, (*inputs, *state), strict=True))
        with _as_value_error(self.name):
            results = self._session.run(self._results, feed)
        count = len(self.outputs)
        shapes = [sized(spec, sizes) for spec in self.outputs]  # in the file, two axes may be one
        outputs = [array.reshape(shape) for array, shape in zip(results[:count], shapes, strict=True)]
        return outputs, tuple(results[count:])


@contextmanager
def _as_value_error(what: object) -> Iterator[None]:
    """Raise what ONNX Runtime raises, exceptions without a class in common, as a ``ValueError``."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{what}: {error}") from error


class CModel(_Base):
    """``model.c``, compiled into a shared library and called through ctypes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        free = [size for spec in self.inputs for size in spec["shape"] if isinstance(size, str)]
        self._sizes = list(dict.fromkeys(["time", "batch", *free]))  # as model.h has them
        self._rooms = workspaces((folder / "model.h").read_text(encoding="utf-8"), self.name, self._sizes)
        self._function = ctypes.CDLL(str(compiled(folder)))[f"{self.name}_run"]
        pointers = [ctypes.c_void_p] * (len(self.inputs) + len(self.outputs) + 2 + bool(self._rooms))
        self._function.argtypes = [*[ctypes.c_size_t] * len(self._sizes), *pointers]
        self._function.restype = None

    def _run(
        self, inputs: tuple[Array, ...], state: State, sizes: dict[str, int]
    ) -> tuple[list[Array], State]:
        taken = [np.ascontiguousarray(_in_c(array)) for array in inputs]
        leaves = [_in_c(leaf) for leaf in state]
        flat = np.frombuffer(bytearray(b"".join(leaf.tobytes() for leaf in leaves)), np.float32)
        outputs = [
            np.empty(sized(spec, sizes), C_TYPES.get(spec["dtype"], spec["dtype"])) for spec in self.outputs
        ]
        each = sizes | {"batch": 1}
        room = sizes["batch"] * sum(count * each[size] for size, count in self._rooms.items())
        workspace = [np.empty(room, np.float32)] if self._rooms else []
        addresses = (array.ctypes.data for array in (*taken, flat, *outputs, flat, *workspace))
        self._function(*(sizes[size] for size in self._sizes), *addresses)
        given = [_as(array, spec["dtype"]) for array, spec in zip(outputs, self.outputs, strict=True)]
        after = [
            _as(leaf, spec["dtype"]) for leaf, spec in zip(_split(flat, leaves), self.leaves, strict=True)
        ]
        return given, tuple(after)


def workspaces(header: str, name: str, sizes: list[str]) -> dict[str, int]:
    """Read of ``model.h`` the floats of workspace for each row and time step, or entry of a context.

    Those for ``batch`` are for each row alone.
    """
    found: dict[str, int] = {}
    for size in sizes:
        macro = f"{name.upper()}_{'' if size == 'time' else f'{size.upper()}_'}WORKSPACE_SIZE"
        defined = re.search(rf"^#define {macro} (\d+)", header, re.MULTILINE)
        found |= {size: int(defined[1])} if defined else {}
    return found


def _in_c(array: Array) -> Array:
    """Give an array as model.c takes it: truth values are integers, true is -1."""
    return -array.astype(np.int32) if array.dtype == np.bool_ else array


def _as(array: Array, dtype: str) -> Array:
    """Give what came out of model.c in the manifest's dtype."""
    return array != 0 if dtype == "bool" else array


def _split(flat: Array, like: Sequence[Array]) -> list[Array]:
    """Take the leaves apart that model.c has one after another."""
    ends = np.cumsum([leaf.nbytes for leaf in like])
    pieces = np.split(flat.view(np.uint8), ends[:-1])
    return [piece.view(leaf.dtype).reshape(leaf.shape) for piece, leaf in zip(pieces, like, strict=False)]


def compiled(folder: Path) -> Path:
    """Compile a bundle's ``model.c`` with ``$CC`` or ``cc``, unless it was before; give the shared library.

    Raises:
        ValueError: the compiler fails; the message says why.
        OSError: there is no compiler, or no ``model.c``.
    """
    source = folder.resolve() / "model.c"
    weights = source.with_name("model.c.weights")  # of a large model, which the source takes in
    read = source.read_bytes() + (weights.read_bytes() if weights.exists() else b"")
    digest = hashlib.sha256(read).hexdigest()[:16]
    library = BUILD / f"{source.parent.name}-{digest}.so"
    if not library.exists():
        BUILD.mkdir(exist_ok=True)
        built = library.with_suffix(f".{os.getpid()}")  # renamed when done: others may be at it
        compiler = shlex.split(os.environ.get("CC") or "cc")
        line = [*compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(built)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ValueError(f"{shlex.join(line)} failed: {done.stderr.strip()[:2000]}")
        built.replace(library)
    return library
