"""The folder that is shipped: manifest, hashes, golden vectors; written whole or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rnn_export import golden
from rnn_export.errors import BundleError, mismatch
from rnn_export.golden import Case
from rnn_export.signature import Signature

MANIFEST = "manifest.json"
FORMAT = "rnn_export.bundle"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What a bundle says about itself.

    Attributes:
        name: what the model is called.
        model: the class, the Python modules that define it, and the number of parameters.
        signature: what a call looks like, with the pairs of state inputs and outputs and the initial state.
        files: size in bytes and sha256 of every file but this one.
        metadata: what the user had to say, such as a vocabulary.
        versions: of the tools that made the bundle.
        verification: what was compared with what, the tolerance, and the errors that were measured.
        passes: after each pass over the traced step its ``name``, the number of each of the ``operators``,
            and what the model of that moment is called if it is worth shipping (``form``).
        form: the form that ``model.onnx`` has; the others are variants.
        latency: what ``rnn-export report`` measured on one core of its machine, empty before: the
            ``processor`` and the ``versions`` that ran; the ``shapes`` of the calls, each ``{"time": T,
            "batch": B}``; and ``rows`` of ``file``, ``runtime``, median ``microseconds`` for each shape, and
            a ``note`` where there are none.
    """

    name: str
    model: dict[str, Any]
    signature: Signature
    files: dict[str, dict[str, Any]]
    metadata: dict[str, str]
    versions: dict[str, str]
    verification: dict[str, Any] = field(default_factory=dict)
    passes: list[dict[str, Any]] = field(default_factory=list)
    form: str = ""
    latency: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Give the text of ``manifest.json``."""
        data = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        data["signature"] = self.signature.to_json()
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: Path) -> "Manifest":
        """Read the text of ``manifest.json``.

        Raises:
            BundleError: it is not a manifest, or one of a newer format.
        """
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError("another format")  # noqa: TRY301
            version = data.pop("format_version")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(
                f"{where} is not the manifest of a bundle ({error!r}). Export it again."
            ) from error
        if version != FORMAT_VERSION:
            raise BundleError(
                mismatch(f"{where}, format version", FORMAT_VERSION, version, "Update rnn-export to read it.")
            )
        try:
            return cls(**{**data, "signature": Signature.from_json(data["signature"])})
        except (KeyError, TypeError) as error:
            raise BundleError(f"{where} lacks a field ({error!r}). Export the bundle again.") from error


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: ``folder`` and what its manifest says."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: str | Path) -> "Bundle":
        """Read a bundle and check that every file is the one that was written.

        Raises:
            BundleError: there is no bundle, or a file is missing, extra, changed or truncated.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            raise BundleError(
                mismatch(str(folder), f"a folder with {MANIFEST}", "none", "Name a bundle's folder.")
            )
        manifest = Manifest.from_json(path.read_text(), path)
        _check_files(folder, manifest.files)
        return cls(folder, manifest)

    @property
    def signature(self) -> Signature:
        """What a call looks like."""
        return self.manifest.signature

    @cached_property
    def cases(self) -> list[Case]:
        """The golden vectors."""
        return golden.read(self.folder, self.signature)


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """List size and sha256 of every file in a bundle's folder but the manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _describe_file(path) for path in paths}


def _describe_file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _check_files(folder: Path, expected: dict[str, dict[str, Any]]) -> None:
    found = describe_files(folder)
    for name in sorted({*expected, *found}):
        if name not in found:
            problem = "is missing"
        elif name not in expected:
            problem = "is not in the manifest"
        elif found[name]["bytes"] != expected[name]["bytes"]:
            problem = f"has {found[name]['bytes']} bytes, expected {expected[name]['bytes']}"
        elif found[name] != expected[name]:
            problem = f"has sha256 {found[name]['sha256']}, expected {expected[name]['sha256']}"
        else:
            continue
        raise BundleError(f"{folder / name} {problem}. The bundle was changed; copy or export it again.")


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Check that a bundle may be written to ``folder``.

    Raises:
        BundleError: it exists and ``overwrite`` is not set, or what is there is not a bundle.
    """
    if not folder.exists():
        return
    is_bundle = (folder / MANIFEST).is_file() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_bundle:
        raise BundleError(
            mismatch(str(folder), "no such path, or a bundle", "something else", "Name another folder.")
        )
    if not overwrite:
        raise BundleError(f"{folder} exists. Name another folder, or pass overwrite=True (--overwrite).")


@contextmanager
def staged(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes ``folder`` at the end; after an error nothing is left of it.

    Raises:
        BundleError: ``folder`` may not be written, or cannot be.
    """
    check_target(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be written: {error}. Name a folder that you may write to."
        ) from error
    try:
        staging = temporary / "new"
        staging.mkdir()
        yield staging
        check_target(folder, overwrite=overwrite)
        _move_into_place(staging, folder, temporary / "old")
    finally:
        shutil.rmtree(temporary)


def _move_into_place(staging: Path, folder: Path, aside: Path) -> None:
    existed = folder.exists()
    try:
        if existed:
            folder.rename(aside)
        staging.rename(folder)
    except OSError as error:
        if existed and not folder.exists():
            aside.rename(folder)
        raise BundleError(f"{folder} cannot be written: {error}. The folder is as it was before.") from error
