"""The calls of a bundle in each language, ready to copy: they run as they stand, beside the bundle's folder.

Each is written from a template of ``templates/calls/``; numbers and names are those of the manifest.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite, prod
from pathlib import Path
from typing import Any

import jinja2

from rnn_export.bundle.bundle import Bundle
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.scaffolding.hosts import fitting_hosts
from rnn_export.signature.signature import Signature, identifier
from rnn_export.signature.sizes import BATCH, TIME
from rnn_export.signature.tensors import Array, StateSpec, TensorSpec
from rnn_export.signature.tree import Tree, names_of

TEMPLATES = Path(__file__).parent / "templates" / "calls"
STEPS, ROWS, PLACES = 5, 2, 3  # of the call that is shown
# How an infinity is written.
INFINITE = {"c++": "std::numeric_limits<float>::infinity()", "javascript": "Infinity", "python": "np.inf"}


@dataclass(frozen=True)
class Language:
    """A language and what runs the file in it; ``template`` names the file that a reader makes of it."""

    title: str
    file: str
    template: str
    build: str = ""


LANGUAGES = (
    Language("Python, with this package", "model.onnx", "call.py", "python call.py"),
    Language("Python, ONNX Runtime alone", "model.onnx", "call_onnxruntime.py", "python call_onnxruntime.py"),
    Language(
        "C", "model.c", "call.c", "cc -O2 -march=native -I{folder} call.c {folder}/model.c -o call && ./call"
    ),
    Language("C++, libtorch", "model.pt", "call_libtorch.cpp", "CMake: find_package(Torch), C++20"),
    Language(
        "C++, ONNX Runtime",
        "model.onnx",
        "call_onnxruntime.cpp",
        "c++ -std=c++17 call_onnxruntime.cpp -lonnxruntime -o call && ./call",
    ),
    Language(
        "Rust",
        "model.c",
        "call.rs",
        "cc -O2 -march=native -c {folder}/model.c && ar rcs libmodel.a model.o"
        " && rustc -O -L. -lstatic=model call.rs && ./call",
    ),
    Language("Go", "model.c", "call.go", "go run call.go"),
    Language(
        "Java, JNA",
        "model.c",
        "Call.java",
        "cc -O2 -march=native -shared -fPIC {folder}/model.c -o libmodel.so && java -cp jna.jar Call.java",
    ),
    Language("Node", "model.onnx", "call.mjs", "npm install onnxruntime-node && node call.mjs"),
)


@dataclass(frozen=True)
class Snippet:
    """A program to copy."""

    title: str
    runs: str
    file: str
    code: str
    build: str

    @property
    def language(self) -> str:
        """Name the language as Markdown does after its three backticks."""
        ending = Path(self.file).suffix[1:]
        return {"py": "python", "rs": "rust", "mjs": "js"}.get(ending, ending)


def snippets(bundle: Bundle) -> list[Snippet]:
    """Write the call in every language that has a file in the bundle."""
    folder = bundle.manifest.name
    return [
        Snippet(
            language.title,
            language.file,
            language.template,
            _render(language.template, bundle),
            language.build.format(folder=shlex.quote(folder)),
        )
        for language in LANGUAGES
        if language.file in bundle.manifest.files
    ]


def scaffolds(bundle: Bundle) -> list[tuple[str, str]]:
    """List the hosts for which ``rnn-export scaffold`` writes a program around this bundle, and how."""
    folder = shlex.quote(bundle.manifest.name)
    return [
        (host, f"rnn-export scaffold {folder} --host {host} --out my_program")
        for host in fitting_hosts(bundle)
    ]


@cache
def _environment(steps: int) -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 (source code, not HTML)
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "literal": _literal,
        "shape": lambda spec: _shape(spec, steps),
        "sized": lambda spec, some=steps: ", ".join(map(str, _shape(spec, some))),
        "count": lambda spec, some=steps: prod(_shape(spec, some)),
        "number": _number,
    }
    return environment


def _literal(value: object) -> str:
    """Write a string, or a list of them, as Python, C++ and JavaScript all read it."""
    return json.dumps(value, ensure_ascii=False)


def _render(template: str, bundle: Bundle) -> str:
    signature, name = bundle.signature, identifier(bundle.manifest.name)
    variables = _variables(signature)
    steps = max(STEPS, signature.least)
    header = (bundle.folder / "model.h").read_text() if "model.h" in bundle.manifest.files else ""
    return (
        _environment(steps)
        .get_template(f"{template}.jinja")
        .render(
            folder=bundle.manifest.name,
            name=name,
            others=_other_runtimes(bundle),
            upper=name.upper(),
            signature=signature,
            steps=steps,
            rows=ROWS,
            places=PLACES,
            workspaces=_workspace(signature, name.upper(), header),
            workspace_floats=_workspace_floats(signature, name.upper(), header, steps),
            state_floats=_defined(header, f"{name.upper()}_STATE_SIZE"),
            given=_given(signature),
            returned=_returned(signature),
            header=header,
            initial={leaf.name: _initial(leaf) for leaf in signature.state},
            variables=variables,
            wrapped=_wrapped(signature.tree, variables),
            listed="list" in json.dumps(signature.tree),
        )
    )


def _other_runtimes(bundle: Bundle) -> str:
    """List what else ``rnn_export.load`` takes."""
    found = sorted(
        name for name, runtime in RUNTIMES.items() if f"model{runtime.suffix}" in bundle.manifest.files
    )
    return ", ".join(f'"{name}"' for name in found if name != "onnxruntime")


def _shape(spec: TensorSpec, steps: int) -> tuple[int, ...]:
    """Give a tensor's shape in a call of so many time steps."""
    others = {str(spec.shape[axis]): PLACES for axis in spec.free_axes}
    return spec.sized(**others | {TIME: steps, BATCH: ROWS})


def _returned(signature: Signature) -> list[dict[str, Any]]:
    """Say of each output what its variable is called, and whether it has another number of time steps."""
    alone = len(signature.outputs) == 1
    return [
        {
            "spec": spec,
            "name": "outputs" if alone else f"out_{spec.name}",
            "sequence": TIME in spec.shape,
            "resized": any(isinstance(size, str) and size not in (TIME, BATCH) for size in spec.shape),
        }
        for spec in signature.outputs
    ]


def _given(signature: Signature) -> list[dict[str, Any]]:
    """Say of each input what its variable is called, and what picks its first time step in Python."""
    found = []
    for place, spec in enumerate(signature.inputs):
        name = "inputs" if len(signature.inputs) == 1 else f"in_{spec.name}"
        axes = spec.shape[: (spec.time_axis or 0) + 1]
        first = ", ".join(":1" if size == TIME else ":" for size in axes)
        sequence = spec.time_axis is not None
        step = f"{name}[{first}]" if sequence else name
        free = "".join(f"{size.upper()} * " for size in signature.free_sizes if size in spec.shape)
        found.append(
            {"place": place, "spec": spec, "name": name, "step": step, "sequence": sequence, "free": free}
        )
    return found


def _workspace(signature: Signature, upper: str, header: str) -> str:
    """Write how many floats the workspace of a call of C has."""
    named = {"STEPS": f"{upper}_WORKSPACE_SIZE"}
    named |= {size.upper(): f"{upper}_{size.upper()}_WORKSPACE_SIZE" for size in signature.free_sizes}
    terms = [f"{count} * BATCH * {size}" for count, size in named.items() if f" {size} " in header]
    alone = f"{upper}_BATCH_WORKSPACE_SIZE"
    return " + ".join([*([f"BATCH * {alone}"] if f" {alone} " in header else []), *terms])


def _workspace_floats(signature: Signature, upper: str, header: str, steps: int) -> int:
    """Count the floats of the workspace of the call that is shown."""
    counts = {f"{size.upper()}_": PLACES for size in signature.free_sizes} | {"": steps, "BATCH_": 1}
    return sum(
        ROWS * count * _defined(header, f"{upper}_{size}WORKSPACE_SIZE") for size, count in counts.items()
    )


def _defined(header: str, macro: str) -> int:
    """Give the number that a header defines a macro as; 0 if it does not."""
    found = re.search(rf"^#define {macro} (\d+)", header, re.MULTILINE)
    return int(found[1]) if found else 0


def _number(value: float, language: str) -> str:
    """Write a number or a truth value in one of ``INFINITE``'s languages."""
    infinite = INFINITE[language]
    if isinstance(value, bool):
        return str(value) if language == "python" else str(value).lower()
    return str(value) if isfinite(value) else f"-{infinite}" if value < 0 else infinite


def _initial(leaf: StateSpec) -> float | list[float]:
    """Give the number that a leaf begins with everywhere, or all of its numbers."""
    if isinstance(leaf.initial, int | float):
        return leaf.initial
    value: Array = leaf.initial_value(ROWS)
    numbers: list[float] = value.ravel().tolist()
    return numbers


def _variables(signature: Signature) -> dict[str, str]:
    """Name the variables of C++ that hold the leaves: those of the module may be words of the language."""
    names = [leaf.name for leaf in signature.state]
    plain = names == names_of(names)
    return {name: name if plain else f"state_{name}" for name in names}


def _wrapped(tree: Tree, variables: Mapping[str, str]) -> str:
    """Write in C++ how ``model.pt`` wants the leaves of its state."""
    if isinstance(tree, str):
        return variables[tree]
    [(kind, children)] = tree.items()
    inside = ", ".join(_wrapped(child, variables) for child in children)
    return f"{'listed' if kind == 'list' else 'tuple'}({{{inside}}})"
