"""WebAssembly, run by the package ``wasmtime``: a module from ``wasm_build``, called with numpy arrays.

A module computes in a memory of its own and can call nothing: whatever it does, it does no harm here.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import prod
from typing import Any

import numpy as np

from rnn_export.errors import BuildError, RuntimeUnavailableError
from rnn_export.runtimes.wasm_build import HEAP
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, TensorSpec

PACKAGE = "wasmtime"
PAGE = 1 << 16  # bytes, in which a memory grows
ALIGNMENT = 16
GUARD = 1 << 10  # bytes behind each array, which nobody may write
UNSET = 0xFF  # of the bytes of results and guards: NaN as floats
TRUTH = np.dtype(np.int32)  # of truth values in C: -1 and 0


class Module:
    """An instance of a module: its functions, and its memory."""

    def __init__(self, content: bytes) -> None:
        """Compile a module.

        Raises:
            RuntimeUnavailableError: wasmtime is not installed.
            BuildError: it is no module, asks for imports, or has no such exports.
        """
        if find_spec(PACKAGE) is None:
            raise RuntimeUnavailableError(f"{PACKAGE} is not installed")
        import wasmtime  # noqa: PLC0415 (an extra)

        self._store = wasmtime.Store()
        try:
            compiled = wasmtime.Module(self._store.engine, content)
            self._exports = wasmtime.Instance(self._store, compiled, []).exports(self._store)
            self._memory: Any = self._exports["memory"]
            self.heap = int(self._exports[HEAP].value(self._store))
        except (wasmtime.WasmtimeError, KeyError) as error:
            what = "the WebAssembly of model.c cannot be loaded"
            raise BuildError(f"{what}: {error}. Export it again.") from error

    def call(self, name: str, *arguments: int) -> None:
        """Call a function."""
        self._exports[name](self._store, *arguments)

    def room(self, end: int) -> None:
        """Let the memory have at least ``end`` bytes."""
        missing = end - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, -(-missing // PAGE))

    def read(self, start: int, end: int) -> bytes:
        """Give what stands in the memory."""
        return bytes(self._memory.read(self._store, start, end))

    def write(self, start: int, content: bytes) -> None:
        """Put something into the memory."""
        self._memory.write(self._store, content, start)


class Layout:
    """Arrays one behind the other in a module's memory, each with a guard behind it."""

    def __init__(self, module: Module) -> None:
        self._module, self._end = module, module.heap
        self._guards: list[int] = []

    def put(self, content: bytes) -> int:
        """Put an array there, and give its address."""
        start = -(-self._end // ALIGNMENT) * ALIGNMENT
        self._guards.append(start + len(content))
        self._end = start + len(content) + GUARD
        self._module.room(self._end)
        self._module.write(start, content + bytes([UNSET]) * GUARD)
        return start

    def reserve(self, count: int) -> int:
        """Make room for so many bytes that are not set, and give their address."""
        return self.put(bytes([UNSET]) * count)

    def check(self) -> None:
        """Check that nobody has written behind an array.

        Raises:
            BuildError: somebody has.
        """
        for start in self._guards:
            if self._module.read(start, start + GUARD) != bytes([UNSET]) * GUARD:
                raise BuildError("model.c writes behind the end of an array. Export it again.")


def caller(module: Module, model: str, signature: Signature, workspaces: dict[str, int]) -> Call:
    """Let the function that runs a model be called with numpy arrays, as ``model.h`` says.

    Args:
        module: of the model.
        model: what its functions begin with.
        signature: what a call looks like.
        workspaces: the floats that a call needs for each row and time step, or entry of a context.
    """
    inputs, leaves, outputs = len(signature.inputs), len(signature.state), len(signature.outputs)

    def call(*arguments: Array) -> list[Array]:
        given, state = arguments[:inputs], arguments[inputs : inputs + leaves]
        lengths = arguments[-1] if signature.lengths else None
        sizes = signature.check_call(given, state, lengths)
        layout, results = Layout(module), _Results(signature.results, sizes)
        addresses = [layout.put(_in_c(array)) for array in given]
        addresses.append(layout.put(b"".join(map(_in_c, state))))
        written = [layout.reserve(count) for count in results.counts[:outputs]]
        state_out = layout.reserve(sum(results.counts[outputs:]))
        addresses += [*written, state_out]
        if workspaces:
            each = {**sizes, BATCH: 1}
            floats = sizes[BATCH] * sum(count * each[name] for name, count in workspaces.items())
            addresses.append(layout.reserve(4 * floats))
        addresses += [] if lengths is None else [layout.put(_in_c(lengths))]
        named = [sizes[name] for name in (TIME, BATCH, *signature.free_sizes)]
        module.call(f"{model}_run", *named, *addresses)
        layout.check()
        return results.read(module, [*written, *_places(state_out, results.counts[outputs:])])

    return call


def initial_state(module: Module, model: str, signature: Signature, batch: int) -> list[Array]:
    """Give the state that a module begins with."""
    layout, results = Layout(module), _Results(signature.state, {BATCH: batch})
    begun = layout.reserve(sum(results.counts))
    module.call(f"{model}_initial_state", batch, begun)
    layout.check()
    return results.read(module, _places(begun, results.counts))


class _Results:
    """Arrays that a function writes: their shapes, and how many bytes each takes."""

    def __init__(self, specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> None:
        self._shapes = [spec.sized(**sizes) for spec in specs]
        self._dtypes = [spec.dtype for spec in specs]
        self.counts = list(map(_bytes, self._shapes, self._dtypes))

    def read(self, module: Module, places: Sequence[int]) -> list[Array]:
        """Read them out of the memory."""
        contents = [
            module.read(start, start + count) for start, count in zip(places, self.counts, strict=True)
        ]
        return list(map(_out_of_c, contents, self._shapes, self._dtypes))


def _places(start: int, counts: Sequence[int]) -> list[int]:
    """Give where each of some arrays begins that stand one after another.

    >>> _places(100, [8, 4, 4])
    [100, 108, 112]
    """
    return [start + sum(counts[:number]) for number in range(len(counts))]


def _bytes(shape: Sequence[int], dtype: str) -> int:
    return prod(shape) * (TRUTH if dtype == "bool" else np.dtype(dtype)).itemsize


def _in_c(array: Array) -> bytes:
    """Give the bytes that numbers have in C, little-endian; a truth value is -1 or 0."""
    numbers = -array.astype(TRUTH) if array.dtype == np.bool_ else array
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()


def _out_of_c(content: bytes, shape: Sequence[int], dtype: str) -> Array:
    in_c = (TRUTH if dtype == "bool" else np.dtype(dtype)).newbyteorder("<")
    numbers: Array = np.frombuffer(content, in_c).reshape(shape)
    return numbers != 0 if dtype == "bool" else numbers
