"""A ``model.c`` as WebAssembly: one file that needs nothing, imports nothing and describes itself.

    model.c, model.h  --clang--> object file --wasm-ld--> module --described--> NAME.wasm

The module exports its ``memory``, ``NAME_run`` and ``NAME_initial_state``, and ``__heap_base``, behind which
a host lays out the arrays of a call. What a call looks like, the bundle's signature, stands in a custom
section. There is no libc: vectors are those of ``simd128``, and copies are WebAssembly's own.

Source: WebAssembly core specification, 5.5.3 custom section; linking conventions of LLVM's ``wasm-ld``.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BuildError, RuntimeUnavailableError
from rnn_export.runtimes.compiler import OPTIONS, Entry, entry, read_parts, run_tool, write_parts
from rnn_export.signature.as_json import to_json
from rnn_export.signature.signature import Signature

# What model.c takes of the C library. Without -ffreestanding, clang would look for functions of these names.
STRING_H = "".join(f"#define {name} __builtin_{name}\n" for name in ("memcpy", "memmove", "memset"))
TARGET = ("-ffreestanding", "-msimd128", "-mbulk-memory")
LINK = ("--no-entry", "--stack-first", "--strip-all")  # with the stack first, one that is too small traps
EXPORTS = ("run", "initial_state", "version")
HEAP = "__heap_base"
SECTION = "rnn_export"
FORMAT, FORMAT_VERSION = "rnn_export.wasm", 1
CLANGS = ("clang", *(f"clang-{version}" for version in range(25, 13, -1)))
MISSING = "no clang with wasm-ld. Install them (Debian: apt-get install clang lld), or: pip install ziglang."


@dataclass(frozen=True)
class Toolchain:
    """What makes WebAssembly of C: the commands of a compiler, with its target, and of a linker."""

    compiler: tuple[str, ...]
    linker: tuple[str, ...]


def toolchain() -> Toolchain:
    """Find one: the first clang beside which there is a ``wasm-ld``, or the package ``ziglang``.

    Raises:
        RuntimeUnavailableError: there is none.
    """
    for found in _toolchains():
        return found
    raise RuntimeUnavailableError(MISSING)


def _toolchains() -> Iterator[Toolchain]:
    for clang in filter(shutil.which, CLANGS):
        version = clang.removeprefix("clang")
        for linker in filter(shutil.which, (f"wasm-ld{version}", "wasm-ld")):
            yield Toolchain((clang, "--target=wasm32"), (linker,))
    if find_spec("ziglang"):
        zig = sys.executable, "-m", "ziglang"
        yield Toolchain((*zig, "cc", "--target=wasm32-freestanding"), (*zig, "wasm-ld"))


def build(source: Path, folder: Path, signature: Signature, about: dict[str, Any], read: Read) -> bytes:
    """Compile a ``model.c`` to WebAssembly.

    The stack is as large as ``model.h`` says that a call needs: that of ``wasm-ld`` is 64 KB, and one that
    overruns writes into the weights without a word.

    Args:
        source: the C file.
        folder: a new one, for what is made on the way.
        signature: what a call looks like.
        about: what else the module says of itself, such as a vocabulary.
        read: gives what a file holds.

    Raises:
        RuntimeUnavailableError: there is no compiler, or it cannot be started.
        BuildError: it fails, or ``model.h`` is none.
    """
    tools, declared = toolchain(), entry(source, read)
    (folder / "string.h").write_text(STRING_H)
    written = write_parts(read_parts(source, read), folder)
    compiled, linked = folder / "model.o", folder / "model.wasm"
    options = [*OPTIONS, *TARGET, f"-I{folder}", "-c", str(written), "-o", str(compiled)]
    run_tool([*tools.compiler, *options], folder)
    exports = [*(f"{declared.model}_{name}" for name in EXPORTS), HEAP]
    options = [*LINK, "-z", f"stack-size={_stack(declared)}", *(f"--export={name}" for name in exports)]
    run_tool([*tools.linker, *options, str(compiled), "-o", str(linked)], folder)
    return linked.read_bytes() + custom_section(SECTION, _description(declared, signature, about))


def _stack(declared: Entry) -> int:
    """Give the bytes of the stack, which ``wasm-ld`` wants in units of 16."""
    if "STACK" not in declared.sizes:
        raise BuildError(f"model.h does not say how much stack {declared.name} needs. Export it again.")
    return -(-declared.sizes["STACK"] // 16) * 16


def _description(declared: Entry, signature: Signature, about: dict[str, Any]) -> bytes:
    """Say what a call looks like, in JSON of ASCII alone: an AudioWorklet has nothing that decodes UTF-8."""
    described = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": declared.model,
        "signature": to_json(signature),
        "workspaces": declared.workspaces(signature.free_sizes),
        **about,
    }
    return json.dumps(described, separators=(",", ":"), allow_nan=False).encode()


def custom_section(name: str, content: bytes) -> bytes:
    """Write a custom section, which a module may have behind all others.

    >>> custom_section("ab", b"cde").hex(" ")
    '00 06 02 61 62 63 64 65'
    """
    body = _leb128(len(name)) + name.encode() + content
    return b"\0" + _leb128(len(body)) + body


def _leb128(number: int) -> bytes:
    """Write an unsigned number in seven bits a byte, the lowest first.

    >>> _leb128(624485).hex(" ")
    'e5 8e 26'
    """
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes((*written, number))
