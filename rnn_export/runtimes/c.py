"""Plain C: ``model.c``, built with the system's compiler into a shared library, and called through ctypes.

The library is kept in the user's cache folder under a hash of the source, the compiler and its options.
"""

import ctypes
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

import numpy as np

from rnn_export.errors import BundleError, RuntimeUnavailableError
from rnn_export.runtimes import Call
from rnn_export.signature import Array, Signature, StateSpec

HEADER, WEIGHTS = "model.h", "model.c.weights"
COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
LIMIT = 600.0  # seconds
WORD = np.dtype(np.float32)


def compiler() -> list[str] | None:
    """Find the C compiler: what the environment's ``CC`` names, or ``cc``, ``gcc`` or ``clang``."""
    wanted = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [[name] for name in COMPILERS]
    return next((command for command in wanted if command and shutil.which(command[0])), None)


def build(source: Path, target: Path, *options: str) -> None:
    """Compile a C file; the environment's ``CFLAGS`` come last.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it fails.
    """
    command = compiler()
    if command is None:
        raise RuntimeUnavailableError(
            f"a C compiler is needed: {', '.join(COMPILERS)} or what CC names. Install one, or set CC."
        )
    line = [*command, *OPTIONS, *options, *shlex.split(os.environ.get("CFLAGS", "")), str(source)]
    try:
        done = subprocess.run(  # noqa: S603
            [*line, "-o", str(target)], capture_output=True, text=True, check=False, timeout=LIMIT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeUnavailableError(f"{shlex.join(line)} failed: {error}") from error
    if done.returncode:
        raise RuntimeUnavailableError(f"{shlex.join(line)} failed: {done.stderr.strip()[:2000]}")


def library(source: Path) -> Path:
    """Give the shared library of a ``model.c``, built unless the cache has it.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it fails.
    """
    facts = [*_versions(compiler() or []), *OPTIONS, os.environ.get("CFLAGS", ""), sys.platform]
    parts = [source, source.with_name(HEADER), source.with_name(WEIGHTS)]
    digests = [hashlib.sha256(part.read_bytes()).hexdigest() for part in parts if part.exists()]
    key = hashlib.sha256("\0".join([*digests, *facts]).encode()).hexdigest()
    folder = cache()
    target = folder / f"{key}.so"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / "model.so"
            build(source, built, "-shared", "-fPIC")
            built.replace(target)
    return target


def _versions(command: list[str]) -> list[str]:
    """Name a compiler, with what it says of its version: another one may have taken its place."""
    if not command:
        return []
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return [*command, said.stdout]


PRODUCTS = {"shared": ("-shared", "-fPIC"), "object": ("-c", "-fPIC"), "static": ("-c", "-fPIC")}
ENDINGS = {"shared": ".so", "object": ".o", "static": ".a"}


def ship(source: Path, folder: Path, kind: str, march: str = "") -> Path:
    """Compile a ``model.c`` to a library or an object file in a folder, with the header beside it.

    Args:
        source: the C file.
        folder: where both go: ``libNAME.so``, ``libNAME.a`` or ``NAME.o``, as in ``NAME_run``.
        kind: ``shared``, ``static`` or ``object``.
        march: a processor for the compiler's ``-march``; one of several is found at run time without.

    Raises:
        RuntimeUnavailableError: there is no compiler or archiver, or it fails.
        BundleError: the folder cannot be written; it is as it was if nothing could be built.
    """
    name = _name(source.with_name(HEADER))
    stem = name if kind == "object" else f"lib{name}"
    target = folder / f"{stem}{ENDINGS[kind]}"
    options = ["-O3", *([f"-march={march}"] if march else []), *PRODUCTS[kind]]
    with tempfile.TemporaryDirectory() as scratch:
        built = Path(scratch) / f"{name}{ENDINGS['object' if kind == 'static' else kind]}"
        build(source, built, *options)
        if kind == "static":
            built = _archived(built)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.with_name(HEADER), folder / HEADER)
            shutil.copyfile(built, target)
        except OSError as error:
            raise BundleError(
                f"{folder} cannot be written: {error}. Name a folder that you may write to."
            ) from error
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


def _name(header: Path) -> str:
    """Give the name that the functions of a ``model.h`` begin with."""
    found = re.search(r"^void (\w+)_run\(", header.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeUnavailableError(f"{header} declares no function that runs a model")
    return found[1]


def start(path: Path, signature: Signature) -> Call:
    """Build and load a ``model.c``, with its ``model.h`` beside it."""
    header = path.with_name(HEADER)
    room = re.search(r"^#define \w+_WORKSPACE_SIZE (\d+)", header.read_text(), re.MULTILINE)
    function = ctypes.CDLL(str(library(path)))[f"{_name(header)}_run"]
    function.restype = None

    def call(inputs: Array, *rest: Array) -> list[Array]:
        state = rest[: len(signature.state)]
        sizes: dict[str, int] = {}
        signature.inputs.bind(inputs, sizes, "argument")
        inputs = np.ascontiguousarray(inputs)
        words = [np.ascontiguousarray(leaf).view(WORD).ravel() for leaf in state]
        before = np.concatenate([np.empty(0, WORD), *words])
        outputs = np.empty(signature.outputs.sized(**sizes), signature.outputs.dtype)
        after = np.empty_like(before)
        arrays = [inputs, before, outputs, after]
        if room:
            arrays.append(np.empty(prod(sizes.values()) * int(room[1]), WORD))
        if signature.lengths:
            arrays.append(np.ascontiguousarray(rest[-1]))
        function(
            ctypes.c_size_t(sizes["time"]),
            ctypes.c_size_t(sizes["batch"]),
            *(array.ctypes.data_as(ctypes.c_void_p) for array in arrays),
        )
        return [outputs, *_leaves(after, signature.returned_state, sizes)]

    return call


def _leaves(words: Array, specs: tuple[StateSpec, ...], sizes: dict[str, int]) -> list[Array]:
    """Take the leaves of a state apart."""
    found, start = [], 0
    for spec in specs:
        shape = spec.sized(**sizes)
        count = prod(shape) * np.dtype(spec.dtype).itemsize // WORD.itemsize
        found.append(words[start : start + count].view(spec.dtype).reshape(shape))
        start += count
    return found
