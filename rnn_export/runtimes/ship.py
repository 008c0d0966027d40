"""Compile ``model.c`` to a library or an object file to ship."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from rnn_export.bundle.layout import MODEL_H
from rnn_export.bundle.staging import beside, explained, sync
from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError, RuntimeUnavailableError
from rnn_export.runtimes.compiler import MOVABLE, build, entry, read_parts, write_parts

PRODUCTS = {"shared": ("-shared", *MOVABLE), "object": ("-c", *MOVABLE), "static": ("-c", *MOVABLE)}
LIBRARIES = {"win32": ".dll", "darwin": ".dylib"}  # what shared libraries are called, elsewhere .so
ENDINGS = {"shared": LIBRARIES.get(sys.platform, ".so"), "object": ".o", "static": ".a"}


def ship(source: Path, folder: Path, kind: str, march: str = "", read: Read = Path.read_bytes) -> Path:
    """Compile a ``model.c`` to a library or an object file in a folder, with the header beside it.

    Args:
        source: the C file.
        folder: where both go: ``libNAME.so``, or another of ``LIBRARIES``, ``libNAME.a`` or ``NAME.o``, as
            in ``NAME_run``.
        kind: ``shared``, ``static`` or ``object``.
        march: a processor for the compiler's ``-march``; one of several is found at run time without.
        read: gives what a file holds.

    Raises:
        RuntimeUnavailableError: there is no compiler or archiver, or that fails.
        BuildError: the compiler fails.
        BundleError: the folder cannot be written; it is as it was if nothing could be built.
    """
    name, parts = entry(source, read).model, read_parts(source, read)
    stem = name if kind == "object" else f"lib{name}"
    target = folder / f"{stem}{ENDINGS[kind]}"
    options = [*([f"-march={march}"] if march else []), *PRODUCTS[kind]]
    with explained(folder, BundleError), beside(target) as own:
        built = own / f"{name}{ENDINGS['object' if kind == 'static' else kind]}"
        build(write_parts(parts, own), built, *options)
        if kind == "static":
            built = _archived(built)
        sync(own)
        (own / MODEL_H).replace(folder / MODEL_H)
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
