"""Plain C: ``model.c``, built with the system's compiler into a shared library, and called through ctypes.

The library is kept in the user's cache folder under a hash of the source, the compiler and its options.
"""

import ctypes
import errno
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rnn_export.errors import BundleError, RuntimeUnavailableError
from rnn_export.reading.files import Read
from rnn_export.runtimes import Call
from rnn_export.signature import BATCH, TIME, Array, Signature
from rnn_export.staging import FULL, beside, clean, explained, sync

HEADER, WEIGHTS = "model.h", "model.c.weights"
COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
LIMIT = 600.0  # seconds
BUILD = "build"  # what folders are called in which libraries are built
WORD = np.dtype(np.float32)
PLANS = 256  # shapes of calls that are kept, for each model
Address = ctypes.Array[ctypes.c_char]
# C takes what this gives as the address of an array, which it keeps alive.
pointer: Callable[[Any], Address] = (ctypes.c_char * 0).from_buffer


def compiler() -> list[str] | None:
    """Find the C compiler: what the environment's ``CC`` names, or ``cc``, ``gcc`` or ``clang``."""
    wanted = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [[name] for name in COMPILERS]
    return next((command for command in wanted if command and shutil.which(command[0])), None)


def build(source: Path, target: Path, *options: str) -> None:
    """Compile a C file; the environment's ``CFLAGS`` come last.

    The compiler's own temporary files lie beside the target, which is in a folder that is removed.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it fails.
        OSError: the disk is full.
    """
    command = compiler()
    if command is None:
        raise RuntimeUnavailableError(
            f"a C compiler is needed: {', '.join(COMPILERS)} or what CC names. Install one, or set CC."
        )
    line = [*command, *OPTIONS, *options, *shlex.split(os.environ.get("CFLAGS", "")), str(source)]
    environment = {**os.environ, "TMPDIR": str(target.parent), "LC_ALL": "C"}
    try:
        status, said = _run([*line, "-o", str(target)], environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeUnavailableError(f"{shlex.join(line)} failed: {error}") from error
    for reason in map(os.strerror, FULL) if status else ():
        if reason in said:
            raise OSError(errno.ENOSPC, f"{shlex.join(line)}: {reason}", str(target))
    if status:
        raise RuntimeUnavailableError(f"{shlex.join(line)} failed: {said.strip()[:2000]}")


def _run(line: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a compiler, whose own processes end with it and with this one; give its status and what it said."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(  # noqa: S603
        line,
        env=environment,
        stdin=nothing,
        stdout=nothing,
        stderr=pipe,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        try:
            _, said = process.communicate(timeout=LIMIT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


def library(source: Path, read: Read = Path.read_bytes) -> Path:
    """Give the shared library of a ``model.c``, built from what ``read`` gives unless the cache has it.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it fails.
        BundleError: the cache cannot be written.
    """
    facts = [*_versions(compiler() or []), *OPTIONS, os.environ.get("CFLAGS", ""), sys.platform]
    parts = _parts(source, read)
    digests = [hashlib.sha256(content).hexdigest() for content in parts.values()]
    key = hashlib.sha256("\0".join([*digests, *facts]).encode()).hexdigest()
    folder = cache()
    target = folder / f"{key}.so"
    with explained(target, BundleError):
        clean(folder / BUILD)
        if not target.exists():
            with beside(folder / BUILD) as own:
                built = own / "model.so"
                build(_placed(parts, own), built, "-shared", "-fPIC")
                sync(built)
                built.replace(target)
    return target


def _parts(source: Path, read: Read) -> dict[str, bytes]:
    """Read a ``model.c`` and what it includes."""
    paths = [source, source.with_name(HEADER), source.with_name(WEIGHTS)]
    return {path.name: read(path) for path in paths if path.exists()}


def _placed(parts: dict[str, bytes], folder: Path) -> Path:
    """Write the parts of a ``model.c`` where nobody else writes: what is compiled is what was read."""
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(parts))


def _versions(command: list[str]) -> list[str]:
    """Name a compiler, with what it says of its version: another one may have taken its place."""
    if not command:
        return []
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return [*command, said.stdout]


PRODUCTS = {"shared": ("-shared", "-fPIC"), "object": ("-c", "-fPIC"), "static": ("-c", "-fPIC")}
ENDINGS = {"shared": ".so", "object": ".o", "static": ".a"}


def ship(source: Path, folder: Path, kind: str, march: str = "", read: Read = Path.read_bytes) -> Path:
    """Compile a ``model.c`` to a library or an object file in a folder, with the header beside it.

    Args:
        source: the C file.
        folder: where both go: ``libNAME.so``, ``libNAME.a`` or ``NAME.o``, as in ``NAME_run``.
        kind: ``shared``, ``static`` or ``object``.
        march: a processor for the compiler's ``-march``; one of several is found at run time without.
        read: gives what a file holds.

    Raises:
        RuntimeUnavailableError: there is no compiler or archiver, or it fails.
        BundleError: the folder cannot be written; it is as it was if nothing could be built.
    """
    name, parts = entry(source, read).model, _parts(source, read)
    stem = name if kind == "object" else f"lib{name}"
    target = folder / f"{stem}{ENDINGS[kind]}"
    options = [*([f"-march={march}"] if march else []), *PRODUCTS[kind]]
    with explained(folder, BundleError), beside(target) as own:
        built = own / f"{name}{ENDINGS['object' if kind == 'static' else kind]}"
        build(_placed(parts, own), built, *options)
        if kind == "static":
            built = _archived(built)
        sync(own)
        (own / HEADER).replace(folder / HEADER)
        built.replace(target)
    return target


def _archived(built: Path) -> Path:
    """Put an object file into a static library beside it."""
    target = built.with_suffix(ENDINGS["static"])
    archiver = shlex.split(os.environ.get("AR", "ar"))
    try:
        subprocess.run([*archiver, "rcs", str(target), str(built)], check=True, capture_output=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeUnavailableError(f"{shlex.join(archiver)} failed: {error}. Set AR.") from error
    return target


def cache() -> Path:
    """Give the folder of built libraries, which only its user may write."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (base / "rnn_export", Path(tempfile.gettempdir()) / f"rnn_export-{os.getuid()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    raise RuntimeUnavailableError(
        "no folder for built libraries: set XDG_CACHE_HOME to one that you may write"
    )


@dataclass(frozen=True)
class Entry:
    """What the functions of a model begin with, and the floats of workspace for each row and time step."""

    model: str
    workspace: int = 0

    @property
    def name(self) -> str:
        """Give the name of the function that runs it."""
        return f"{self.model}_run"


def entry(source: Path, read: Read = Path.read_bytes) -> Entry:
    """Read what the ``model.h`` beside a ``model.c`` declares.

    Raises:
        RuntimeUnavailableError: it declares no function that runs a model.
    """
    header = source.with_name(HEADER)
    text = read(header).decode(errors="replace")
    found = re.search(r"^void (\w+)_run\(", text, re.MULTILINE)
    if found is None:
        raise RuntimeUnavailableError(f"{header} declares no function that runs a model")
    room = re.search(r"^#define \w+_WORKSPACE_SIZE (\d{1,9})\b", text, re.MULTILINE)
    return Entry(found[1], int(room[1]) if room else 0)


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
