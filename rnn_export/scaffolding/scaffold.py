"""Write a program in another language that runs the user's bundles: a folder to start from.

The programs are the folders of ``examples/``, as they are; they read what they can from the manifest. What a
compiler has to know before, the names and sizes of the models, is written from a template.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import jinja2

from rnn_export.bundle.bundle import Bundle, staged
from rnn_export.bundle.layout import MODEL_H
from rnn_export.errors import ScaffoldError, mismatch, nearest
from rnn_export.signature.signature import Signature, identifier
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS, TensorSpec

MODELS = "models"  # where an example has its bundles
BUILT = ("build", "node_modules", "__pycache__")  # what running an example leaves in it
WRITTEN = b"Written by `rnn-export scaffold`"  # in the first line of what comes from a template
TEMPLATES = Path(__file__).parent / "templates"
C_TYPES = {"float32": "float", "int64": "int64_t", "bool": "int32_t"}  # as model.h has them


@dataclass(frozen=True)
class Host:
    """A language, or a service: which files of a bundle its example runs.

    Attributes:
        files: of the bundle, which have to be there.
        generated: the files that hold the models' names and sizes, each from the template of its name.
        each: files of which every model has one, its name for ``{}``; the template's is ``model``.
        shapes: its arrays know their shapes: contexts may have any number of free sizes.
        sized: its arrays know how long they are: contexts may have one, also around ``model.c``.
        fixed: it has no memory but that of ``model.h``, for nets whose buffers are on the stack.
    """

    files: tuple[str, ...]
    generated: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    shapes: bool = False
    sized: bool = False
    fixed: bool = False


HOSTS = {
    "c": Host(("model.c",), ("models.c",)),
    "cpp-libtorch": Host(("model.pt",)),
    "cpp-onnxruntime": Host(("model.onnx",)),
    "rust": Host(("model.c",), ("src/models.rs",)),
    "go": Host(("model.c",), ("models.go",), each=("model_{}_.c",)),
    "java": Host(("model.c",), fixed=True),
    "node": Host(("model.onnx",)),
    "browser": Host(("model.onnx",)),
    "wasm": Host(("model.c",), sized=True),
    "python": Host(("model.onnx",), shapes=True),
    "mcu": Host(("model.c",), ("models.c",), fixed=True),
    "service-cpp": Host(("model.c",), ("models.c",)),
    "service-node": Host(("model.onnx",)),
}


@dataclass(frozen=True)
class Tensor:
    """What a template is told of an input or an output.

    Attributes:
        name: in the manifest.
        dtype: of it.
        size: numbers for each row, and for each time step if it has any.
        every_step: it is one of every time step; else the same for a call, or that of the last one.
        macro: between the model's name and ``_SIZE`` in ``model.h``.
        vocabulary_size: token ids are 0 to one less; ``None`` if that is not known, or if they are no ids.
    """

    name: str
    dtype: str
    size: int
    every_step: bool
    macro: str
    vocabulary_size: int | None = None

    @property
    def vocabulary_macro(self) -> str:
        """Give what stands in ``model.h`` before ``_SIZE`` for the number of token ids."""
        return f"{self.macro}_VOCABULARY".removeprefix("INPUT_")


@dataclass(frozen=True)
class Model:
    """What a template is told of a bundle.

    Attributes:
        name: of its folder in ``models/``, and of what its C defines: ``NAME_run``.
        inputs: what goes in beside the state, in the manifest's order, which is that of C.
        outputs: what comes out beside it.
        state_size: floats for each row.
        vocabulary: the character of each token id, of a text model.
        workspace: floats for each row that a call takes beside all else.
    """

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    state_size: int
    vocabulary: list[str] | None
    workspace: int = 0


def examples() -> Path:
    """Find the examples: inside of the installed package, or beside it in the repository."""
    installed = Path(__file__).parent / "examples"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "examples"


def scaffold(bundles: str | Path | Sequence[str | Path], host: str, folder: str | Path) -> Path:
    """Write the example of a host for some bundles, which are copied into ``models/``.

    Args:
        bundles: the folder of a bundle, or the folders of several.
        host: a key of ``HOSTS``.
        folder: where the example goes.

    Returns:
        The folder.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
        ScaffoldError: there is no such host, a bundle is not one that the examples can run, or the folder
            exists.
    """
    if host not in HOSTS:
        raise ScaffoldError(
            mismatch("host", ", ".join(HOSTS), repr(host), nearest(host, HOSTS, "Name one of them."))
        )
    bundles = [bundles] if isinstance(bundles, str | Path) else bundles
    if not bundles:
        raise ScaffoldError("bundles: expected at least one bundle, got none. Name its folder.")
    opened = [Bundle.open(bundle) for bundle in bundles]
    models = [_model(bundle, host) for bundle in opened]
    names = [model.name for model in models]
    if len({*names}) < len(names):
        remedy = "Export one with another --name."
        raise ScaffoldError(mismatch("the bundles", "a name of its own for each", ", ".join(names), remedy))
    if Path(folder).exists():
        raise ScaffoldError(mismatch(str(folder), "no such path", "one that exists", "Name another folder."))
    with staged(Path(folder), overwrite=False) as new:
        _copy(examples() / host, new)
        for model, bundle in zip(models, opened, strict=True):
            bundle.copy(new / MODELS / model.name)
        for path, text in generated(host, models).items():
            (new / path).write_text(text)
    return Path(folder)


def generated(host: str, models: Sequence[Model]) -> dict[str, str]:
    """Write the files of a host that hold the models' names and sizes: path and text."""
    files = {file: _render(Path(file).name, models=models) for file in HOSTS[host].generated}
    for file in HOSTS[host].each:
        for model in models:
            files[file.format(model.name)] = _render(f"model{Path(file).suffix}", model=model)
    return files


def _copy(source: Path, target: Path) -> None:
    def ignored(folder: str, names: list[str]) -> set[str]:
        """Leave out what was built, the bundles of the repository, and what was written for them."""
        paths = {name: Path(folder) / name for name in names}
        return {
            name
            for name, path in paths.items()
            if name in BUILT or path == source / MODELS or (path.is_file() and WRITTEN in path.read_bytes())
        }

    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


def _model(bundle: Bundle, host: str) -> Model:
    signature = bundle.signature
    _check(bundle, HOSTS[host])
    vocabulary = bundle.manifest.metadata.get("vocabulary")
    return Model(
        name=identifier(bundle.manifest.name),
        inputs=_tensors("IN", signature.inputs),
        outputs=_tensors("OUT", signature.outputs),
        state_size=sum(_units(leaf.shape) * (2 if leaf.dtype == "int64" else 1) for leaf in signature.state),
        vocabulary=list(vocabulary) if vocabulary else None,
        workspace=_workspace(bundle),
    )


def _tensors(way: str, specs: Sequence[TensorSpec]) -> list[Tensor]:
    alone = len(specs) == 1
    return [
        Tensor(
            name=spec.name,
            dtype=spec.dtype,
            size=_units(spec.shape),
            every_step=TIME in spec.shape,
            macro=f"{way}PUT" if alone else f"{way}_{spec.name.upper()}",
            vocabulary_size=getattr(spec, "vocabulary", None),
        )
        for spec in specs
    ]


def _units(shape: Sequence[int | str]) -> int:
    return prod(size for size in shape if isinstance(size, int))


def _check(bundle: Bundle, host: Host) -> None:
    """Refuse a bundle that the examples, which are small on purpose, cannot run."""
    for expected, found in _requirements(bundle, host):
        if found:
            raise ScaffoldError(
                mismatch(
                    str(bundle.folder),
                    expected,
                    found,
                    "docs/embedding.md tells how its files are loaded by hand.",
                )
            )
    for file in host.files:
        if file not in bundle.manifest.files:
            raise ScaffoldError(f"{bundle.folder} has no {file}: {bundle.why_without(file)}")


def fitting_hosts(bundle: Bundle) -> list[str]:
    """List the hosts whose example can run a bundle."""
    return [
        name
        for name, host in HOSTS.items()
        if {*host.files} <= {*bundle.manifest.files}
        and not any(found for _, found in _requirements(bundle, host))
    ]


def _requirements(bundle: Bundle, host: Host) -> list[tuple[str, str]]:
    """List what an example expects, and what there is instead, if it is something else."""
    signature = bundle.signature
    lengths = [spec.name for spec in signature.inputs if spec.counts_steps]
    lengths += [LENGTHS.name] if signature.lengths else []
    dtypes = {spec.dtype for spec in (*signature.arguments, *signature.results)}
    needed = [
        ("a net that can be streamed", signature.not_streamable_because or ""),
        ("a net without lengths", ", ".join(lengths)),
        ("tensors of float32, int64 and bool", ", ".join(sorted(dtypes - {*C_TYPES}))),
    ]
    if "model.c" in host.files and not host.sized:
        needed.append(
            ("contexts of known sizes in a program around model.c", ", ".join(signature.free_sizes))
        )
    if host.fixed and _workspace(bundle):
        needed.append(("a net whose buffers fit on the stack", f"{_workspace(bundle)} floats for each row"))
    return needed if host.shapes else [*needed, ("contexts of one free size", _of_several_sizes(signature))]


def _workspace(bundle: Bundle) -> int:
    """Give the floats of workspace that a call of model.c takes for each row, as its header says."""
    if MODEL_H not in bundle.manifest.files:
        return 0
    header = bundle.files.read(bundle.folder / MODEL_H)
    found = re.search(rb"^#define \w+_BATCH_WORKSPACE_SIZE (\d+)", header, re.MULTILINE)
    return int(found[1]) if found else 0


def _of_several_sizes(signature: Signature) -> str:
    """Name the contexts of which two sizes are free, so that a number of values does not tell them."""
    known, found = {TIME, BATCH}, []
    for spec in signature.inputs:
        new = {size for size in spec.shape if isinstance(size, str)} - known
        found += [f"{spec.name} with {', '.join(sorted(new))}"] if len(new) > 1 else []
        known |= new
    return ", ".join(found)


def _render(template: str, **names: Any) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(  # noqa: S701 (source code, not HTML)
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.globals |= {"c_types": C_TYPES}
    environment.filters |= {"c_string": c_string, "rust_string": rust_string, "go_string": go_string}
    return environment.get_template(f"{template}.jinja").render(**names)


def c_string(text: str) -> str:
    r"""Write a string literal of C.

    >>> print(c_string('a"\n?é'))
    "a\"\012?\303\251"
    """
    return '"' + "".join(_c_byte(byte) for byte in text.encode()) + '"'


def _c_byte(byte: int) -> str:
    if byte in b'"\\':
        return f"\\{byte:c}"
    return f"{byte:c}" if 32 <= byte < 127 else f"\\{byte:03o}"


def rust_string(text: str) -> str:
    r"""Write a string literal of Rust.

    >>> print(rust_string('a"\n?é'))
    "a\"\u{a}?é"
    """
    special = {'"': '\\"', "\\": "\\\\"}
    return (
        '"' + "".join(special.get(c) or (c if c.isprintable() else f"\\u{{{ord(c):x}}}") for c in text) + '"'
    )


def go_string(text: str) -> str:
    r"""Write a string literal of Go, which reads JSON's.

    >>> print(go_string('a"\n?é'))
    "a\"\n?é"
    """
    return json.dumps(text, ensure_ascii=False)
