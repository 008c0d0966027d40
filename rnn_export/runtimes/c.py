"""Plain C: ``model.c``, built with the system's compiler into a shared library, and called through ctypes.

The library is kept in the user's cache folder under a hash of the source, the compiler and its options.
"""

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BuildError, BundleError, mismatch
from rnn_export.runtimes.bound import Bound
from rnn_export.runtimes.compiler import ALLOWED, Entry, entry, library
from rnn_export.runtimes.row_threads import RowThreads
from rnn_export.runtimes.static_memory import held, writable
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, InputSpec

TRUTH = np.dtype(np.int32)
WORD = np.dtype(np.float32)
PLANS = 256  # shapes of calls that are kept, for each model
LANES = (16, 8, 4)  # of the kinds of processor that a library chooses from
GUARD = 1 << 12  # words behind an array, which nobody may write
Address = ctypes.Array[ctypes.c_char]
# C takes what this gives as the address of an array, which it keeps alive.
pointer: Callable[[Any], Address] = (ctypes.c_char * 0).from_buffer


def start(path: Path, signature: Signature, read: Read = Path.read_bytes, threads: int = 1) -> Call:
    """Build and load a ``model.c``, with its ``model.h`` beside it. It is code: load what you trust.

    Several ``threads`` share the rows of each batch, with no change in the result.

    Raises:
        RuntimeUnavailableError: there is no compiler.
        BuildError: it fails, or what it builds is not what the header and the signature say.
        BundleError: the library cannot be loaded, or has no such function.
    """
    declared = entry(path, read)
    loaded = _loaded(path, signature, read, declared)
    function: Callable[..., object] = getattr(loaded, declared.name)
    if threads > 1:
        function = RowThreads(_rows_apart(path, loaded, declared), threads)
    return caller(function, signature, declared.workspaces(signature.free_sizes))


def _rows_apart(path: Path, loaded: ctypes.CDLL, declared: Entry) -> Callable[..., object]:
    """Give the function that runs some rows of a batch; files of earlier versions have none."""
    name = f"{declared.name}_rows"
    function: Callable[..., object] | None = getattr(loaded, name, None)
    if function is None:
        remedy = "It is of an earlier version: export it again, or load it with threads=1."
        raise BundleError(mismatch(f"{path} for several threads", f"a function {name}", "none", remedy))
    function.restype = None  # type: ignore[attr-defined]
    return function


def variants(path: Path, signature: Signature, read: Read) -> list[Call]:
    """Load it as :func:`start` does, once for each kind of processor that this one can stand for.

    Each call goes through the library's own choice, which is told how many numbers a vector may have. A
    library that is built for one kind of processor has no choice. A call that changes memory which the next
    one sees, or one in another thread, is an error.
    """
    declared = entry(path, read)
    loaded = _loaded(path, signature, read, declared)
    call, allowed = (
        caller(getattr(loaded, declared.name), signature, declared.workspaces(signature.free_sizes)),
        ctypes.c_int.in_dll(loaded, ALLOWED),
    )

    kept = writable(loaded)

    def limited(lanes: int) -> Call:
        def one(*arguments: Array) -> list[Array]:
            allowed.value = lanes
            before = list(map(held, kept))
            results = call(*arguments)
            if list(map(held, kept)) != before:
                expected, got = "no memory but a call's own to change", "a change of static memory"
                raise BuildError(mismatch("model.c", expected, got, "Export the bundle again."))
            return results

        return one

    calls = [limited(lanes) for lanes in LANES]
    for each in LANES:
        allowed.value = each
        _check_bounds(getattr(loaded, declared.name), signature, declared)
    return calls


def _loaded(path: Path, signature: Signature, read: Read, declared: Entry) -> ctypes.CDLL:
    """Build and load a library, and check what does not depend on a call."""
    try:
        loaded = ctypes.CDLL(str(library(path, read)))
        for end in ("run", "initial_state"):
            getattr(loaded, f"{declared.model}_{end}").restype = None
    except (OSError, AttributeError) as error:
        raise BundleError(f"{path} cannot be loaded: {error}. Export it again.") from error
    _check_sizes(signature, declared)
    _check_start(getattr(loaded, f"{declared.model}_initial_state"), signature)
    return loaded


def _check_sizes(signature: Signature, declared: Entry) -> None:
    """Compare the sizes of the header with the signature's."""
    one = {TIME: 1, BATCH: 1}
    state = sum(Kind(leaf.sized(**one), _in_c(leaf.dtype)).words for leaf in signature.state)
    expected: dict[str, int | None] = {"STATE": state}
    for word, specs in (("IN", signature.inputs), ("OUT", signature.outputs)):
        for spec in specs:
            name = f"{word}PUT" if len(specs) == 1 else f"{word}_{spec.name.upper()}"
            expected[name] = prod(size for size in spec.shape if isinstance(size, int))
            if isinstance(spec, InputSpec):
                expected[f"{name}_VOCABULARY".removeprefix("INPUT_")] = spec.vocabulary
    found = {name: declared.sizes.get(name) for name in expected}
    if found != expected:
        raise BuildError(mismatch("sizes in model.h", expected, found, "Export the bundle again."))


def _check_start(function: Callable[..., object], signature: Signature) -> None:
    """Compare the state that a sequence begins with, for a few rows, with the signature's."""
    expected = _together(signature.initial_state(3))
    found = np.full(expected.nbytes // WORD.itemsize + GUARD, np.nan, WORD)
    function(ctypes.c_size_t(3), pointer(found))
    if found[:-GUARD].tobytes() != expected.tobytes() or not np.isnan(found[-GUARD:]).all():
        first = [leaf.ravel()[:4].tolist() for leaf in signature.initial_state(1)]
        begun = found[: expected.nbytes // WORD.itemsize]
        raise BuildError(
            mismatch("initial_state() of model.c", first, begun[:4].tolist(), "Export the bundle again.")
        )


def _check_bounds(function: Callable[..., object], signature: Signature, declared: Entry) -> None:
    """Run a few rows and time steps, and see that nothing is written behind an array."""
    sizes = {TIME: max(3, signature.least), BATCH: 2} | dict.fromkeys(signature.free_sizes, 3)
    state = _together(signature.initial_state(2))
    inputs = [np.zeros(spec.sized(**sizes), _in_c(spec.dtype)) for spec in signature.inputs]
    words = [Kind(spec.sized(**sizes), _in_c(spec.dtype)).words for spec in signature.outputs]
    words.append(state.nbytes // WORD.itemsize if signature.returns_state else 0)
    room = floats(declared.workspaces(signature.free_sizes), sizes)
    words += [room] if room else []
    written = [np.full(count + GUARD, np.nan, WORD) for count in words]
    lengths = [np.full(2, 3, np.int64)] if signature.lengths else []
    arrays = [*inputs, state, *written, *lengths]
    function(*in_order(signature, sizes), *map(pointer, arrays))
    if not all(np.isnan(array[-GUARD:]).all() for array in written):
        raise BuildError(
            "model.c writes behind the end of an array of the size that model.h says. Export it again."
        )


def floats(workspaces: Mapping[str, int], sizes: Mapping[str, int]) -> int:
    """Give the floats of the workspace of a call; ``batch`` stands for what each row has alone."""
    each = {**sizes, BATCH: 1}
    return sizes[BATCH] * sum(count * each[name] for name, count in workspaces.items())


def in_order(signature: Signature, sizes: Mapping[str, int]) -> tuple[ctypes.c_size_t, ...]:
    """Give the sizes of a call as C takes them: time steps, batch, and those of contexts."""
    return tuple(ctypes.c_size_t(sizes[name]) for name in (TIME, BATCH, *signature.free_sizes))


def prepare(path: Path) -> None:
    """Build the library of a ``model.c`` into the cache."""
    library(path)


@dataclass(frozen=True)
class Kind:
    """The shape and the dtype of an array, as C has it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @cached_property
    def words(self) -> int:
        """How many words of four bytes it takes."""
        return prod(self.shape) * self.dtype.itemsize // WORD.itemsize


@dataclass(frozen=True)
class Plan:
    """Runs calls with arrays of some kinds, which were checked: a function of C, its sizes, and room.

    Attributes:
        function: takes what ``model.h`` says.
        sizes: of the call, as C takes them.
        given: how many inputs there are.
        outputs: what comes out beside the state.
        leaves: of the state.
        workspace: its floats.
        returns_state: whether the new state is a result.
        truths: which results are truth values.
        takes_truths: whether truth values go in.
    """

    function: Callable[..., object]
    sizes: tuple[ctypes.c_size_t, ...]
    given: int
    outputs: tuple[Kind, ...]
    leaves: tuple[Kind, ...]
    workspace: int
    returns_state: bool
    truths: tuple[int, ...]
    takes_truths: bool

    @cached_property
    def rooms(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """What C writes: the outputs; a new state, in its own shape or all leaves as words; the workspace."""
        alone = len(self.leaves) == 1
        state = self.leaves[0] if alone else Kind((sum(leaf.words for leaf in self.leaves),), WORD)
        kinds = [*self.outputs, state, *([Kind((self.workspace,), WORD)] if self.workspace else [])]
        return [(kind.shape, kind.dtype) for kind in kinds]

    @cached_property
    def is_plain(self) -> bool:
        """Whether what goes in and what comes out is as C has it."""
        plain = self.returns_state and len(self.leaves) == 1 and not self.workspace
        return plain and not self.truths and not self.takes_truths

    def __call__(self, *arguments: Array) -> list[Array]:
        """Run; lengths come last."""
        if not self.is_plain:
            arguments = self._as_in_c(arguments)
        # dense, and such as may be written to, which is what ctypes wants to point at
        taken = [array if array.flags.carray else np.array(array, order="C") for array in arguments]
        written = [np.empty(shape, dtype) for shape, dtype in self.rooms]
        taken[self.given + 1 : self.given + 1] = written
        self.function(*self.sizes, *[pointer(array) for array in taken])
        return written if self.is_plain else self._results(written)

    def _as_in_c(self, arguments: tuple[Array, ...]) -> tuple[Array, ...]:
        end = self.given + len(self.leaves)
        state = _together(arguments[self.given : end])
        return (*map(_numbers, arguments[: self.given]), state, *arguments[end:])

    def _results(self, written: list[Array]) -> list[Array]:
        results, count = written[: len(self.outputs)], len(self.outputs)
        results += self.apart(written[count]) if self.returns_state else []
        for place in self.truths:
            results[place] = results[place] != 0
        return results

    def apart(self, state: Array) -> list[Array]:
        """Take the leaves of a state apart."""
        if len(self.leaves) == 1:
            return [state]
        found, start = [], 0
        for leaf in self.leaves:
            found.append(np.ndarray(leaf.shape, leaf.dtype, state, start * WORD.itemsize))
            start += leaf.words
        return found


def caller(
    function: Callable[..., object], signature: Signature, workspaces: Mapping[str, int] | None = None
) -> "InC":
    """Let a function of C be called with numpy arrays.

    Args:
        function: takes what ``model.h`` says.
        signature: of the call.
        workspaces: the floats that it needs for each row and time step, or entry of a context, by its name.
    """
    return InC(function, signature, workspaces or {})


class InC:
    """A function of C, called with numpy arrays.

    C would read and write out of bounds if a shape was wrong, so every call is checked. A call of a kind that
    was right before is right again: for a single time step the check would take longer than the net.
    ``prepared`` gives what runs calls of some kinds, a shape and a dtype for each array.
    """

    def __init__(
        self, function: Callable[..., object], signature: Signature, workspaces: Mapping[str, int]
    ) -> None:
        self._function, self._signature, self._workspaces = function, signature, workspaces
        self._inputs, self._leaves = len(signature.inputs), len(signature.state)
        self._truths = tuple(place for place, spec in enumerate(signature.results) if spec.dtype == "bool")
        self.prepared = lru_cache(PLANS)(self._planned)

    def _planned(self, *kinds: tuple[tuple[int, ...], np.dtype[Any]]) -> Plan:
        signature, inputs = self._signature, self._inputs
        given = [Kind(*kind) for kind in kinds]
        state = given[inputs : inputs + self._leaves]
        sizes = signature.check_call(given[:inputs], state)
        return Plan(
            self._function,
            in_order(signature, sizes),
            inputs,
            tuple(Kind(spec.sized(**sizes), _in_c(spec.dtype)) for spec in signature.outputs),
            tuple(Kind(leaf.shape, _in_c(leaf.dtype)) for leaf in state),
            floats(self._workspaces, sizes),
            signature.returns_state,
            self._truths,
            any(spec.dtype == "bool" for spec in signature.inputs + signature.state),
        )

    def __call__(self, *arguments: Array) -> list[Array]:
        """Run."""
        plan = self.prepared(*[(array.shape, array.dtype) for array in arguments])
        if self._signature.lengths:
            inputs = self._inputs
            self._signature.check_call(arguments[:inputs], arguments[inputs:-1], arguments[-1])
        return plan(*arguments)

    def bind(self, sizes: Mapping[str, int]) -> Bound | None:
        """Make arrays of some sizes that stay; ``None`` if truth values or lengths are among them."""
        signature = self._signature
        arguments = (*signature.arguments, *signature.outputs)
        if signature.lengths or any(spec.dtype == "bool" for spec in arguments):
            return None
        inputs = [np.zeros(spec.sized(**sizes), spec.dtype) for spec in signature.inputs]
        begun = signature.initial_state(sizes[BATCH])
        planned = self.prepared(*[(array.shape, array.dtype) for array in (*inputs, *begun)])
        state = np.array(_together(begun))
        outputs = [np.zeros(kind.shape, kind.dtype) for kind in planned.outputs]
        room = [np.empty(planned.workspace, WORD)] if self._workspaces else []
        pointers = [*map(pointer, inputs), pointer(state), *map(pointer, outputs), pointer(state)]
        run = partial(self._function, *planned.sizes, *pointers, *map(pointer, room))
        return Bound(inputs, planned.apart(state), outputs, run)


def _together(leaves: tuple[Array, ...]) -> Array:
    """Put the leaves of a state one after another, as words; one that is alone stays as it is."""
    if len(leaves) == 1:
        return _numbers(leaves[0])
    words = [_numbers(leaf).ravel().view(WORD) for leaf in leaves]
    return np.concatenate(words) if leaves else np.empty(0, WORD)


def _numbers(array: Array) -> Array:
    """Give truth values as C has them: -1 for a true one."""
    return -array.astype(TRUTH) if array.dtype == np.bool_ else array


def _in_c(dtype: str | np.dtype[Any]) -> np.dtype[Any]:
    """Give the dtype that numbers of a dtype have in C."""
    return TRUTH if np.dtype(dtype) == np.bool_ else np.dtype(dtype)
