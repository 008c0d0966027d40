"""Plain C: ``model.c``, built with the system's compiler into a shared library, and called through ctypes.

The library is kept in the user's cache folder under a hash of the source, the compiler and its options.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError
from rnn_export.runtimes.compiler import entry, library
from rnn_export.signature.signature import BATCH, TIME, Array, Call, Signature

WORD = np.dtype(np.float32)
PLANS = 256  # shapes of calls that are kept, for each model
Address = ctypes.Array[ctypes.c_char]
# C takes what this gives as the address of an array, which it keeps alive.
pointer: Callable[[Any], Address] = (ctypes.c_char * 0).from_buffer


def start(path: Path, signature: Signature, read: Read = Path.read_bytes) -> Call:
    """Build and load a ``model.c``, with its ``model.h`` beside it. It is code: load what you trust.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it fails.
        BundleError: the library cannot be loaded, or has no such function.
    """
    declared = entry(path, read)
    try:
        function = ctypes.CDLL(str(library(path, read)))[declared.name]
    except (OSError, AttributeError) as error:
        raise BundleError(f"{path} cannot be loaded: {error}. Export it again.") from error
    function.restype = None
    return caller(function, signature, declared.workspace)


def prepare(path: Path) -> None:
    """Build the library of a ``model.c`` into the cache."""
    library(path)


@dataclass(frozen=True)
class Kind:
    """The shape and the dtype of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @cached_property
    def words(self) -> int:
        """How many words of four bytes it takes."""
        return prod(self.shape) * self.dtype.itemsize // WORD.itemsize


@dataclass(frozen=True)
class Plan:
    """What a call with arrays of some kinds needs: time steps and batch as C takes them, and room."""

    sizes: tuple[ctypes.c_size_t, ctypes.c_size_t]
    outputs: Kind
    leaves: tuple[Kind, ...]
    workspace: int

    @cached_property
    def words(self) -> int:
        """How many words of four bytes the state takes."""
        return sum(leaf.words for leaf in self.leaves)

    def state(self) -> Array:
        """Make room for a new state: a leaf that is alone in its own shape, or all as words."""
        if len(self.leaves) == 1:
            return np.empty(self.leaves[0].shape, self.leaves[0].dtype)
        return np.empty(self.words, WORD)

    def apart(self, state: Array) -> list[Array]:
        """Take the leaves of a state apart."""
        if len(self.leaves) == 1:
            return [state]
        found, start = [], 0
        for leaf in self.leaves:
            found.append(np.ndarray(leaf.shape, leaf.dtype, state, start * WORD.itemsize))
            start += leaf.words
        return found


def caller(function: Callable[..., object], signature: Signature, workspace: int = 0) -> Call:
    """Let a function of C be called with numpy arrays.

    Args:
        function: takes what ``model.h`` says.
        signature: of the call.
        workspace: the floats that it needs for each row and time step.

    C would read and write out of bounds if a shape was wrong, so every call is checked. A call of a kind that
    was right before is right again: for a single time step the check would take longer than the net.
    """
    leaves = len(signature.state)

    @lru_cache(PLANS)
    def plan(*kinds: tuple[tuple[int, ...], np.dtype[Any]]) -> Plan:
        inputs, *rest = [Kind(*kind) for kind in kinds]
        state = rest[:leaves] if signature.lengths else rest
        sizes = signature.check_call(inputs, state)
        outputs, *_ = [Kind(spec.sized(**sizes), np.dtype(spec.dtype)) for spec in signature.results]
        steps_and_batch = ctypes.c_size_t(sizes[TIME]), ctypes.c_size_t(sizes[BATCH])
        return Plan(steps_and_batch, outputs, tuple(state), prod(sizes.values()) * workspace)

    def call(*arguments: Array) -> list[Array]:
        planned = plan(*[(array.shape, array.dtype) for array in arguments])
        if signature.lengths:
            signature.check_call(arguments[0], arguments[1:-1], arguments[-1])
        inputs, before = _writable(arguments[0]), _together(arguments[1 : 1 + leaves])
        outputs, after = np.empty(planned.outputs.shape, planned.outputs.dtype), planned.state()
        pointers = [pointer(inputs), pointer(before), pointer(outputs), pointer(after)]
        if workspace:
            pointers.append(pointer(np.empty(planned.workspace, WORD)))
        if signature.lengths:
            pointers.append(pointer(_writable(arguments[-1])))
        function(*planned.sizes, *pointers)
        return [outputs, *planned.apart(after)] if signature.returns_state else [outputs]

    return call


def _together(leaves: tuple[Array, ...]) -> Array:
    """Put the leaves of a state one after another, as words; one that is alone stays as it is."""
    if len(leaves) == 1:
        return _writable(leaves[0])
    return np.concatenate([leaf.ravel().view(WORD) for leaf in leaves]) if leaves else np.empty(0, WORD)


def _writable(array: Array) -> Array:
    """Give an array that is dense and that may be written to, which is what ctypes wants to point at."""
    return array if array.flags.carray else np.array(array, order="C")
