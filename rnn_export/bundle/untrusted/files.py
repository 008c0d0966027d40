"""The files of a folder: regular ones with plain names, no more and no larger than a bundle has them."""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_export.errors import BundleError, mismatch

FILE_BYTES = (1 << 31) - 1  # what protobuf can hold, so no ONNX file is larger; no other file is either
ALL_BYTES = 8 * FILE_BYTES  # a model in three formats with its variants
FILES = 64  # a bundle has about ten
FOLDERS = 16  # it has two
NAME_LENGTH = 200  # characters of a path: what every file system takes, twice over
MANIFEST = "manifest.json"  # lists all files but itself
CHANGED = "The bundle was changed; copy or export it again."
PLAIN = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/){0,3}[A-Za-z0-9_][A-Za-z0-9_.-]*")
DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)  # on Windows, in any folder

# How the bytes of a file are read: a bundle's own way checks them against the manifest.
Read = Callable[[Path], bytes]


def check_name(name: str, where: str) -> None:
    """Check that a name is one that means the same file, inside of the folder, on every system.

    Raises:
        BundleError: it is not.
    """
    parts = name.split("/")
    odd = any(DEVICES.fullmatch(part) or part.endswith(".") for part in parts)
    if odd or len(name) > NAME_LENGTH or not PLAIN.fullmatch(name):
        expected = "a path within the folder, of letters, digits, '_', '.', '-' and '/'"
        raise BundleError(mismatch(f"{where}, name of a file", expected, ascii(name), "Do not use it."))


def read(path: Path, limit: int = FILE_BYTES) -> bytes:
    """Read a regular file that is not a link.

    Raises:
        BundleError: it is something else, cannot be read, or holds more than ``limit`` bytes.
    """
    # A link is not followed, and a pipe without a writer not waited for.
    flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    try:
        with open(os.open(path, sum(flags, os.O_RDONLY)), "rb") as file:
            facts = os.fstat(file.fileno())
            check_regular(facts, path)
            if facts.st_size > limit:
                raise BundleError(_too_large(path, limit, facts.st_size))
            content = file.read(facts.st_size + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}. Expected a regular file.") from error
    if len(content) != facts.st_size:
        raise BundleError(
            mismatch(str(path), f"{facts.st_size} bytes", "another size", "It is being written.")
        )
    return content


def check_regular(facts: os.stat_result, path: Path) -> None:
    """Check that something is a regular file, not a link, a pipe, a socket or a device.

    Raises:
        BundleError: it is something else.
    """
    if not stat.S_ISREG(facts.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(facts.st_mode) else "something else"
        raise BundleError(mismatch(str(path), "a regular file", kind, "Do not use this folder."))


def _too_large(where: Path, limit: int, size: int) -> str:
    return mismatch(str(where), f"at most {limit} bytes", f"{size}", "No bundle is that large.")


def listing(folder: Path) -> dict[str, int]:
    """List the files of a folder with their sizes, the folders inside with a slash and no size.

    Raises:
        BundleError: there is a link or anything but files and folders, there are too many of them or too
            large ones, or one has a name that not every system takes.
    """
    found: dict[str, int] = {}
    for path, facts in _walk(folder):
        name = path.relative_to(folder).as_posix()
        check_name(name, str(folder))
        if stat.S_ISDIR(facts.st_mode):
            found[f"{name}/"] = 0
            continue
        check_regular(facts, path)
        found[name] = facts.st_size
        if facts.st_size > FILE_BYTES:
            raise BundleError(_too_large(path, FILE_BYTES, facts.st_size))
    if sum(found.values()) > ALL_BYTES:
        raise BundleError(_too_large(folder, ALL_BYTES, sum(found.values())))
    if len({name.lower() for name in found}) < len(found):
        expected = "names that differ in more than capitals"
        raise BundleError(mismatch(str(folder), expected, "two that do not", "Do not use this folder."))
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Go through a folder and the folders inside, following no link."""
    waiting, seen = [folder], 0
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if seen > FILES + FOLDERS:
                        expected = f"at most {FILES} files and {FOLDERS} folders"
                        raise BundleError(mismatch(str(folder), expected, "more", "Do not use this folder."))
                    path, facts = Path(entry.path), entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(facts.st_mode):
                        waiting.append(path)
                    yield path, facts
        except OSError as error:
            raise BundleError(f"{folder} cannot be read: {error}. Name a bundle's folder.") from error


@dataclass(frozen=True)
class Files:
    """The files of a bundle: its folder, and size and sha256 of each as the manifest gives them."""

    folder: Path
    facts: Mapping[str, Mapping[str, Any]]

    def check(self) -> None:
        """Check that the folder holds these files, and no others but the manifest.

        Raises:
            BundleError: a file is missing, extra, or has another size; or :func:`listing` refuses the folder.
        """
        listed = listing(self.folder)
        found = {name: size for name, size in listed.items() if name != MANIFEST and not name.endswith("/")}
        for name in sorted({*self.facts, *found}):
            if name not in found:
                problem = "is missing"
            elif name not in self.facts:
                problem = "is not in the manifest"
            elif found[name] != self.facts[name]["bytes"]:
                problem = f"has {found[name]} bytes, expected {self.facts[name]['bytes']}"
            else:
                continue
            raise BundleError(f"{self.folder / name} {problem}. {CHANGED}")

    def read(self, path: Path) -> bytes:
        """Read a file of the bundle: the bytes that come back are those that were hashed.

        Raises:
            BundleError: the manifest does not name it, or it is not the one that was written.
        """
        facts = self.facts.get(path.relative_to(self.folder).as_posix())
        if facts is None:
            raise BundleError(f"{path} is not in the manifest. {CHANGED}")
        content = read(path, facts["bytes"])
        if len(content) != facts["bytes"]:
            problem = f"has {len(content)} bytes, expected {facts['bytes']}"
            raise BundleError(f"{path} {problem}. {CHANGED}")
        digest = hashlib.sha256(content).hexdigest()
        if digest != facts["sha256"]:
            raise BundleError(f"{path} has sha256 {digest}, expected {facts['sha256']}. {CHANGED}")
        return content
