"""Write a program in another language that runs the user's bundles: a folder to start from.

The programs are the folders of ``examples/``, as they are; they read what they can from the manifest. What a
compiler has to know before, the names and sizes of the models, is written from a template.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import jinja2

from rnn_export.bundle.bundle import Bundle, staged
from rnn_export.errors import ScaffoldError, mismatch
from rnn_export.signature.signature import Signature, identifier
from rnn_export.signature.sizes import TIME

MODELS = "models"  # where an example has its bundles
BUILT = ("build", "node_modules", "__pycache__")  # what running an example leaves in it
WRITTEN = b"Written by `rnn-export scaffold`"  # in the first line of what comes from a template
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Host:
    """A language, or a service: which files of a bundle its example runs.

    Attributes:
        files: of the bundle.
        generated: the files that hold the models' names and sizes, each from the template of its name.
        each: files of which every model has one, its name for ``{}``; the template's is ``model``.
    """

    files: tuple[str, ...]
    generated: tuple[str, ...] = ()
    each: tuple[str, ...] = ()


HOSTS = {
    "c": Host(("model.c",), ("models.c",)),
    "cpp-libtorch": Host(("model.pt",)),
    "cpp-onnxruntime": Host(("model.onnx",)),
    "rust": Host(("model.c",), ("src/models.rs",)),
    "go": Host(("model.c",), ("models.go",), each=("model_{}_.c",)),
    "java": Host(("model.c",)),
    "node": Host(("model.onnx",)),
    "browser": Host(("model.onnx",)),
    "python": Host(("model.onnx", "model.c")),
    "service-cpp": Host(("model.c",), ("models.c",)),
    "service-node": Host(("model.onnx",)),
}


@dataclass(frozen=True)
class Model:
    """What a template is told of a bundle.

    Attributes:
        name: of its folder in ``models/``, and of what its C defines: ``NAME_run``.
        token_ids: the inputs are int64 token ids, not float32.
        input_size: numbers for each row and time step.
        output_size: the same, of the outputs.
        state_size: floats for each row.
        every_step: there are outputs of every time step, not of the last one alone.
        vocabulary_size: token ids are 0 to one less; ``None`` if that is not known, or if they are no ids.
        vocabulary: the character of each token id, of a text model.
    """

    name: str
    token_ids: bool
    input_size: int
    output_size: int
    state_size: int
    every_step: bool
    vocabulary_size: int | None
    vocabulary: list[str] | None


def examples() -> Path:
    """Find the examples: inside of the installed package, or beside it in the repository."""
    installed = Path(__file__).parent / "examples"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "examples"


def scaffold(bundles: Sequence[str | Path], host: str, folder: str | Path) -> Path:
    """Write the example of a host for some bundles, which are copied into ``models/``.

    Args:
        bundles: the folders of one or several bundles.
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
        raise ScaffoldError(mismatch("host", ", ".join(HOSTS), repr(host), "Name one of them."))
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
    _check(bundle, HOSTS[host].files)
    inputs, outputs = signature.inputs[0], signature.outputs[0]
    vocabulary = bundle.manifest.metadata.get("vocabulary")
    return Model(
        name=identifier(bundle.manifest.name),
        token_ids=inputs.dtype == "int64",
        input_size=_units(inputs.shape),
        output_size=_units(outputs.shape),
        state_size=sum(_units(leaf.shape) * (2 if leaf.dtype == "int64" else 1) for leaf in signature.state),
        every_step=TIME in outputs.shape,
        vocabulary_size=inputs.vocabulary,
        vocabulary=list(vocabulary) if vocabulary else None,
    )


def _units(shape: Sequence[int | str]) -> int:
    return prod(size for size in shape if isinstance(size, int))


def _check(bundle: Bundle, files: Sequence[str]) -> None:
    """Refuse a bundle that the examples, which are small on purpose, cannot run."""
    for expected, found in _requirements(bundle.signature):
        if found:
            raise ScaffoldError(
                mismatch(
                    str(bundle.folder),
                    expected,
                    found,
                    "docs/embedding.md tells how its files are loaded by hand.",
                )
            )
    for file in files:
        if file not in bundle.manifest.files:
            raise ScaffoldError(f"{bundle.folder} has no {file}: {bundle.why_without(file)}")


def fitting_hosts(bundle: Bundle) -> list[str]:
    """List the hosts whose example can run a bundle."""
    if any(found for _, found in _requirements(bundle.signature)):
        return []
    return [name for name, host in HOSTS.items() if {*host.files} <= {*bundle.manifest.files}]


def _requirements(signature: Signature) -> list[tuple[str, str]]:
    """List what the examples expect, and what there is instead, if it is something else."""
    inputs, outputs = len(signature.inputs), len(signature.outputs)
    dtypes = {
        "inputs of float32 or int64": (signature.inputs[0].dtype, {"float32", "int64"}),
        "outputs of float32": (signature.outputs[0].dtype, {"float32"}),
    }
    return [
        ("one tensor of inputs", f"{inputs}" if inputs > 1 else ""),
        ("one tensor of outputs", f"{outputs}" if outputs > 1 else ""),
        ("a net that can be streamed", signature.not_streamable_because or ""),
        ("a net without lengths", "one with an input 'lengths'" if signature.lengths else ""),
        *((expected, "" if dtype in known else dtype) for expected, (dtype, known) in dtypes.items()),
        ("a state of numbers", "bool" if any(leaf.dtype == "bool" for leaf in signature.state) else ""),
    ]


def _render(template: str, **names: Any) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(  # noqa: S701 (source code, not HTML)
        loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
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
