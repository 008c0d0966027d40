"""The languages and services that there are examples for, and which bundles each of them runs."""

import re
from dataclasses import dataclass

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_H
from rnn_export.errors import ScaffoldError, mismatch
from rnn_export.signature.signature import Signature
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import LENGTHS

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
        fixed: it allocates no memory: what a call of one row needs is an array of that size.
        text: programs that write text, which no other model has.
        repository: its server wants each model in a form of its own, in ``repository/``.
    """

    files: tuple[str, ...]
    generated: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    shapes: bool = False
    sized: bool = False
    fixed: bool = False
    text: tuple[str, ...] = ()
    repository: bool = False


HOSTS = {
    "c": Host(("model.c",), ("models.c",), text=("generate.c",)),
    "cpp-libtorch": Host(("model.pt",), text=("generate.cpp",)),
    "cpp-onnxruntime": Host(("model.onnx",), text=("generate.cpp",)),
    "rust": Host(("model.c",), ("src/models.rs",), text=("src/bin/generate.rs",)),
    "go": Host(("model.c",), ("models.go",), each=("model_{}_.c",), text=("cmd/generate",)),
    "java": Host(("model.c",), ("src/recurrent/Programs.java",), text=("src/recurrent/Generate.java",)),
    "node": Host(("model.onnx",), text=("generate.js", "generate.test.js")),
    "browser": Host(("model.onnx",)),  # one page for text and for numbers
    "wasm": Host(("model.c",), sized=True, text=("generate.js", "node/generate.mjs")),
    "python": Host(("model.onnx",), shapes=True, text=("generate.py",)),
    "mcu": Host(("model.c",), ("models.c",), fixed=True, text=("generate.c",)),
    "service-cpp": Host(("model.c",), ("models.c",), text=("generate.py",)),
    "service-node": Host(("model.onnx",), text=("generate.py",)),
    "triton": Host(("model.onnx",), shapes=True, text=("generate.py", "write.py"), repository=True),
}


def check(bundle: Bundle, host: Host) -> None:
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
    return needed if host.shapes else [*needed, ("contexts of one free size", _of_several_sizes(signature))]


def workspace_of(bundle: Bundle) -> int:
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
