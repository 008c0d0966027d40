"""The folder that is shipped: manifest, hashes, golden vectors; written whole or not at all."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rnn_export.bundle import golden, staging
from rnn_export.bundle.golden import Case, Golden
from rnn_export.bundle.layout import MODEL_PT2
from rnn_export.bundle.untrusted import archive, exported, json_text, protobuf, schema, signature
from rnn_export.bundle.untrusted.files import MANIFEST, Files, check_name, read
from rnn_export.errors import BundleError, mismatch, path_of
from rnn_export.notebook import table
from rnn_export.signature.as_json import from_json, to_json
from rnn_export.signature.signature import CALL_HEADING, Signature

FORMAT = "rnn_export.bundle"
FORMAT_VERSION = 2
NO_DIGEST = "0" * 64


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
        example: the ``time`` and ``batch`` of the example, for which that form was chosen.
        latency: what ``rnn-export report`` measured on one core of its machine, empty before: the
            ``processor`` and the ``versions`` that ran; the ``shapes`` of the calls, each ``{"time": T,
            "batch": B}``; and ``rows`` of ``file``, ``runtime``, median ``microseconds`` for each shape, and
            a ``note`` where there are none.
        weights: how the weights are rounded, what that costs, and which matrices are in float32 all the same
            (:mod:`rnn_export.bundle.weights`); empty where all weights are.
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
    example: dict[str, int] = field(default_factory=dict)
    latency: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)

    def changes(self) -> list[tuple[str, dict[str, tuple[int, int]], str]]:
        """List the passes that changed something: how many of an operator before and after, and the form.

        Operators inside of loops count as well. Of the first one, the step as it was traced, all are new.
        """
        rows, before = [], dict[str, int]()
        for stage in self.passes:
            after = stage["operators"]
            counts = {name: (before.get(name, 0), after.get(name, 0)) for name in sorted({*before, *after})}
            changed = {name: pair for name, pair in counts.items() if pair[0] != pair[1]}
            if changed or stage["form"]:
                rows.append((stage["name"], changed, stage["form"]))
            before = after
        return rows

    def to_json(self) -> str:
        """Give the text of ``manifest.json``."""
        data = {**asdict(self), "signature": to_json(self.signature)}
        return manifest_text({name: value for name, value in data.items() if value or name != "weights"})

    @classmethod
    def from_json(cls, content: bytes, where: Path) -> "Manifest":
        """Read the bytes of ``manifest.json``, which anybody may have written.

        Raises:
            BundleError: it is not a manifest, one of a newer format, or says what no manifest does.
        """
        try:
            data = json_text.parse(content, str(where), free=("metadata",))
            if not isinstance(data, dict) or data.get("format") != FORMAT:
                raise BundleError(f"{where} is of another format")  # noqa: TRY301
        except BundleError as error:
            raise BundleError(
                f"{where} is not the manifest of a bundle: {error}. Export it again."
            ) from error
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            older = isinstance(version, int) and version < FORMAT_VERSION
            remedy = "Export the bundle again." if older else "Update rnn-export to read it."
            raise BundleError(mismatch(f"{where}, format version", FORMAT_VERSION, version, remedy))
        schema.typed(data, schema.Manifest, str(where))
        if "digest" in data and data["digest"] != digest_of(content, data["digest"]):
            raise BundleError(
                f"{where} is not as it was written: its digest is another one. Get it again, or export again."
            )
        about = {"format", "format_version", "digest"}
        fields = {name: value for name, value in data.items() if name not in about}
        manifest = cls(**{**fields, "signature": from_json(data["signature"])})
        signature.check(manifest.signature, str(where))
        if json.loads(json.dumps(to_json(manifest.signature))) != data["signature"]:
            raise BundleError(f"{where}, signature: its fields contradict each other. Export it again.")
        for name in manifest.files:
            check_name(name, str(where))
        return manifest


def chosen_form(manifest: Manifest) -> str:
    """Say which form ``model.onnx`` has, and for what it was chosen."""
    example = manifest.example
    size = f"T={example['time']}, B={example['batch']}, the size of the example" if example else "the example"
    return f"of the forms that agree, the one expected to be the fastest at {size}: {manifest.form}"


def manifest_text(data: dict[str, Any]) -> str:
    """Give the text of a ``manifest.json``, with the sha256 of that text, the digest in it taken as zeros.

    It tells of an accident, not of an attack: whoever rewrites the text can rewrite the digest.
    """
    first = {"format": FORMAT, "format_version": FORMAT_VERSION, "digest": ""}
    data = {**first, **data, "digest": NO_DIGEST}
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.replace(NO_DIGEST, digest_of(text.encode(), NO_DIGEST), 1)


def digest_of(content: bytes, named: str) -> str:
    """Give the digest of a manifest's bytes, in which another one may be named."""
    entry = f'"digest": "{named}"'.encode()
    return hashlib.sha256(content.replace(entry, f'"digest": "{NO_DIGEST}"'.encode(), 1)).hexdigest()


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk: ``folder`` and what its manifest says."""

    folder: Path
    manifest: Manifest

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        facts = self.manifest.files
        outermost = sorted(name for name in facts if "/" not in name)
        size = sum(fact["bytes"] for fact in facts.values())
        listed = f"{', '.join(outermost)} and {len(facts) - len(outermost)} more, {size:,} bytes"
        return "\n".join(
            (
                f"Bundle {self.manifest.name!r} in {self.folder}",
                f"  call: {self.signature.call}",
                f"  files: {listed}",
            )
        )

    def _repr_html_(self) -> str:
        name, _, files = repr(self).splitlines()
        return table(f"{name};{files}", CALL_HEADING, self.signature.described)

    @classmethod
    def open(cls, folder: str | Path) -> "Bundle":
        """Read a bundle and check all of it, without running anything.

        Every file has to be the one that the manifest names. An ONNX file may name no other file, and no
        operator but ONNX's own; a ``.pt`` has to be an archive as PyTorch writes it, and so has a ``.pt2``,
        which may hold no pickle and no text that is run as Python. A ``.pt``, a ``.pt2`` and a ``.c`` are
        code nevertheless, and somebody who can rewrite the manifest can rewrite the hashes: they say that
        a copy is whole, not who made it (:mod:`rnn_export.bundle.signing` does).

        Raises:
            BundleError: there is no bundle, a file is missing, extra, changed or truncated, or holds what a
                bundle's does not.
        """
        folder = path_of(folder, "folder", "Pass the path of a bundle.")
        path = folder / MANIFEST
        if not path.is_symlink() and not path.exists():
            raise BundleError(mismatch(str(folder), f"a folder with {MANIFEST}", *_instead(folder)))
        bundle = cls(folder, Manifest.from_json(read(path, json_text.JSON_BYTES), path))
        bundle.files.check()
        for name in bundle.manifest.files:
            content = bundle.files.read(folder / name)
            LOOKS.get(Path(name).suffix, _as_it_is)(content, str(folder / name))
        bundle.cases  # noqa: B018 (read, and with that looked at)
        return bundle

    @property
    def signature(self) -> Signature:
        """What a call looks like."""
        return self.manifest.signature

    @property
    def digest(self) -> str:
        """The sha256 that names it: of the manifest, which has the sha256 of every file."""
        digest: str = json.loads(self.manifest.to_json())["digest"]
        return digest

    def why_without(self, file: str) -> str:
        """Say why a file is not there: what was found at the export, or what to do."""
        left_out = self.manifest.verification.get("left_out", [])
        own = [reason for reason in left_out if reason.startswith((f"{file}:", f"{file} "))]
        return "; ".join(own) or ASKED.get(file, "export it again")

    @property
    def files(self) -> Files:
        """What reads the files: the bytes it gives are those that the manifest names."""
        return Files(self.folder, self.manifest.files)

    def copy(self, folder: Path) -> None:
        """Copy the bundle to a new folder: what was looked at, whatever has become of the files since."""
        for name in self.manifest.files:
            content = self.files.read(self.folder / name)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / MANIFEST).write_text(self.manifest.to_json())

    @cached_property
    def golden(self) -> Golden:
        """The golden vectors, and what the net does to rounding errors."""
        return golden.read(self.folder, self.signature, self.files.read)

    @property
    def cases(self) -> list[Case]:
        """The golden vectors."""
        return self.golden.cases


def _instead(folder: Path) -> tuple[str, str]:
    """Say what is there instead of a bundle, and what to name."""
    if not folder.exists():
        return "no such path", "Name a bundle's folder."
    if not folder.is_dir():
        inside = next((parent for parent in folder.parents if (parent / MANIFEST).is_file()), None)
        return "a file", f"Name its folder, {inside}." if inside else "Name a bundle's folder."
    bundles = sorted(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
    remedy = f"Name one of those in it: {', '.join(bundles)}." if bundles else "Name a bundle's folder."
    return "a folder without", remedy


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """List size and sha256 of every file in a bundle's folder but the manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    return {path.relative_to(folder).as_posix(): _describe_file(path) for path in paths}


def _describe_file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _as_it_is(content: bytes, where: str) -> None:
    """Look at nothing: a file of which nothing is expected."""


# What to do for a file that is written only where it is asked for.
ASKED = {MODEL_PT2: "export it with pt2=True (--pt2)"}
# How the inside of a file is looked at, by its ending.
LOOKS = {".onnx": protobuf.check, ".pt": archive.check, ".pt2": exported.check}


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

    Of two runs at once the first to end gets a free name, the last one to end a name that may be overwritten.

    Raises:
        BundleError: ``folder`` may not be written, or cannot be.
    """
    check_target(folder, overwrite=overwrite)
    with staging.explained(folder, BundleError), staging.beside(folder) as own:
        check_target(folder, overwrite=overwrite)  # a bundle that a killed run had set aside is back
        new = own / staging.NEW
        new.mkdir()
        yield new
        check_target(folder, overwrite=overwrite)
        try:
            staging.place(new, folder, overwrite=overwrite)
        except OSError:
            check_target(folder, overwrite=overwrite)  # another run got the name meanwhile
            raise
