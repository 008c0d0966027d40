"""The system's C compiler: ``model.c`` becomes a shared library, kept in the user's cache folder.

The key is a hash of the source, the compiler and its options.
"""

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
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnn_export.bundle.layout import MODEL_H, WEIGHTS
from rnn_export.bundle.staging import FULL, beside, clean, explained, sync
from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BuildError, BundleError, RuntimeUnavailableError
from rnn_export.signature.sizes import BATCH, TIME

COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-O2", "-fno-math-errno", "-fno-trapping-math")
# Code may stand anywhere, as it always may on Windows, where clang does not know the option.
MOVABLE = () if sys.platform == "win32" else ("-fPIC",)
LIMIT = 600.0  # seconds
MOST = 200_000_000  # bytes of built libraries that are kept
MISSING = f"no C compiler ({', '.join(COMPILERS)}, or what CC names). Install one, or set CC."
BUILD = "build"  # what folders are called in which libraries are built
ALLOWED = (
    "rnn_export_lanes"  # the most numbers of a vector that a built library takes, of those the processor has
)
# What is compiled in front of a model.c: verification runs it as other processors do, through its own choice.
PROCESSORS = f"int {ALLOWED};\nint {ALLOWED} = 16;\n#define ALLOWED(lanes) ((lanes) <= {ALLOWED})\n"


def compiler() -> list[str] | None:
    """Find the C compiler: what the environment's ``CC`` names, or ``cc``, ``gcc`` or ``clang``."""
    wanted = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [[name] for name in COMPILERS]
    return next((command for command in wanted if command and shutil.which(command[0])), None)


def build(source: Path, target: Path, *options: str) -> None:
    """Compile a C file; the environment's ``CFLAGS`` come last.

    The target is in a folder that is removed.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it cannot be started.
        BuildError: it rejects the file, does not end in time, or dies.
        OSError: the disk is full.
    """
    command = compiler()
    if command is None:
        raise RuntimeUnavailableError(MISSING)
    line = [*command, *OPTIONS, *options, *shlex.split(os.environ.get("CFLAGS", "")), str(source)]
    run_tool([*line, "-o", str(target)], target.parent)


def run_tool(line: list[str], folder: Path) -> None:
    """Run a compiler or a linker, whose own temporary files lie in a folder that is removed.

    Raises:
        RuntimeUnavailableError: it cannot be started.
        BuildError: it fails, does not end in time, or dies.
        OSError: the disk is full.
    """
    environment = {**os.environ, "TMPDIR": str(folder), "LC_ALL": "C"}
    try:
        status, messages = _run(line, environment)
    except OSError as error:
        raise RuntimeUnavailableError(f"{shlex.join(line)} cannot be started: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{shlex.join(line)} did not finish within {LIMIT:.0f} s") from error
    for reason in map(os.strerror, FULL) if status else ():
        if reason in messages:
            raise OSError(errno.ENOSPC, f"{shlex.join(line)}: {reason}", str(folder))
    if status:
        raise BuildError(f"{shlex.join(line)} failed: {_first_error(messages) or f'status {status}'}")


def _first_error(messages: str) -> str:
    """Give the first line of a compiler's messages that is an error, or the first one.

    >>> _first_error("net.c: In function 'f':\\nnet.c:1:2: warning: odd\\nnet.c:2:2: error: no such thing")
    'net.c:2:2: error: no such thing'
    """
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "")[:500]


def _run(line: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a compiler, whose own processes end with it and with this one; give its status and its messages."""
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
            _, messages = process.communicate(timeout=LIMIT)
        except BaseException:
            _end(process)
            raise
    return process.returncode, messages


def _end(process: subprocess.Popen[str]) -> None:
    """End a compiler at once, where the system can with its own processes, which are a group."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def library(source: Path, read: Read = Path.read_bytes) -> Path:
    """Give the shared library of a ``model.c``, built from what ``read`` gives unless the cache has it.

    Raises:
        RuntimeUnavailableError: there is no compiler.
        BuildError: it fails.
        BundleError: the cache cannot be written.
    """
    facts = [*_versions(compiler() or []), *OPTIONS, PROCESSORS, os.environ.get("CFLAGS", ""), sys.platform]
    parts = read_parts(source, read)
    digests = [hashlib.sha256(content).hexdigest() for content in parts.values()]
    key = hashlib.sha256("\0".join([*digests, *facts]).encode()).hexdigest()
    folder = cache()
    target = folder / f"{key}.so"
    with explained(target, BundleError):
        clean(folder / BUILD)
        if not target.exists():
            with beside(folder / BUILD) as own:
                built = own / "model.so"
                before = own / "processors.h"
                before.write_text(PROCESSORS)
                build(write_parts(parts, own), built, "-shared", *MOVABLE, "-include", str(before))
                sync(built)
                built.replace(target)
                forget(folder, MOST, target)
        os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))  # it was used
    return target


def read_parts(source: Path, read: Read) -> dict[str, bytes]:
    """Read a ``model.c`` and what it includes."""
    paths = [source, source.with_name(MODEL_H), source.with_name(WEIGHTS)]
    return {path.name: read(path) for path in paths if path.exists()}


def write_parts(parts: dict[str, bytes], folder: Path) -> Path:
    """Write the parts of a ``model.c`` where nobody else writes: what is compiled is what was read."""
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    return folder / next(iter(parts))


def _versions(command: list[str]) -> list[str]:
    """Name a compiler, with the version that it prints: another one may have taken its place."""
    if not command:
        return []
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    return [*command, answer.stdout]


def libraries(folder: Path) -> dict[Path, int]:
    """Give the built libraries of a cache with their bytes, the one first that was not used for longest."""
    found = list[tuple[float, Path, int]]()
    for path in folder.glob("*.so"):
        with suppress(FileNotFoundError):  # another process removes the same ones
            facts = path.stat()
            found.append((facts.st_atime, path, facts.st_size))
    return {path: size for _, path, size in sorted(found)}


def forget(folder: Path, most: int, but: Path | None = None) -> list[Path]:
    """Remove libraries until a cache has at most so many bytes, those first that were not used for long.

    Returns:
        What was removed, which is not ``but``. A process that has loaded one keeps it.
    """
    found = libraries(folder)
    total = sum(found.values())
    removed = list[Path]()
    for path, size in found.items():
        if total <= most or path == but:
            break
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # Windows keeps a library that a process has loaded
            continue
        removed.append(path)
        total -= size
    return removed


def cache() -> Path:
    """Give the folder of built libraries, which only its user may write."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (base / "rnn_export", Path(tempfile.gettempdir()) / f"rnn_export-{user()}"):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK) and folder.stat().st_uid == user():
            return folder
    raise RuntimeUnavailableError(
        "no folder for built libraries: set XDG_CACHE_HOME to one that you may write"
    )


def user() -> int:
    """Give the user's number; 0 on Windows, where every file has that one, and the folders are the user's."""
    return os.getuid() if hasattr(os, "getuid") else 0


@dataclass(frozen=True)
class Entry:
    """What the functions of a model begin with, and the sizes that its header defines, such as ``STATE``."""

    model: str
    sizes: dict[str, int]

    def workspaces(self, names: Iterable[str]) -> dict[str, int]:
        """Give the floats of workspace for each row and time step, or entry of a context, by that size.

        Those for ``batch`` are for each row alone.
        """
        counted = (BATCH, TIME, *names)
        keys = {name: "WORKSPACE" if name == TIME else f"{name.upper()}_WORKSPACE" for name in counted}
        return {name: self.sizes[key] for name, key in keys.items() if key in self.sizes}

    @property
    def name(self) -> str:
        """Give the name of the function that runs it."""
        return f"{self.model}_run"


def entry(source: Path, read: Read = Path.read_bytes) -> Entry:
    """Read what the ``model.h`` beside a ``model.c`` declares.

    Raises:
        BuildError: it declares no function that runs a model.
    """
    header = source.with_name(MODEL_H)
    text = read(header).decode(errors="replace")
    found = re.search(r"^void (\w+)_run\(", text, re.MULTILINE)
    if found is None:
        raise BuildError(f"{header} declares no function that runs a model")
    sizes = re.findall(rf"^#define {found[1].upper()}_(\w+)_SIZE (\d{{1,15}})\b", text, re.MULTILINE)
    return Entry(found[1], {name: int(size) for name, size in sizes})
