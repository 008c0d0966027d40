"""Reading mutated bundles ends in the package's own errors, within a second, and never in a crash.

Each mutant is a bundle with one file spoiled. In half of them the manifest was written anew, so that the
hash is right and what stands behind it reads the mutant. It is opened, with its golden vectors; a spoiled
ONNX file that was taken is loaded in ONNX Runtime; a ``.pt`` is looked at, and not loaded, as it is code.
"""

import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import onnx

from rnn_export.bundle.bundle import Bundle, manifest_text
from rnn_export.bundle.untrusted.files import MANIFEST
from rnn_export.runtimes.table import RUNTIMES
from trials import mutations, workers

BUNDLE = Path(__file__).resolve().parents[1] / "artifacts" / "rnn_scratch"
SECOND = 1.0
LIKELY = (MANIFEST, "golden/index.json", "model.onnx", "variants/loop.onnx", "variants/scan.onnx", "model.pt")


def run(amount: int) -> str:
    """Try so many mutants.

    Raises:
        BrokenPromiseError: one is not refused as promised.
    """
    return workers.tried("trials.fuzz", amount, SECOND, "mutated bundles")


@cache
def _folder() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    """Copy the bundle once; each mutant is put back."""
    held = tempfile.TemporaryDirectory()
    return held, Path(shutil.copytree(BUNDLE, Path(held.name) / "bundle"))


def attempt(number: int) -> str:
    """Read a mutant."""
    random = Random(number)  # noqa: S311
    _, folder = _folder()
    name = random.choice((*LIKELY, *(path.relative_to(BUNDLE).as_posix() for path in BUNDLE.rglob("*.*"))))
    rehashed = name != MANIFEST and number % 2 == 1
    try:
        content = spoiled((BUNDLE / name).read_bytes(), name, random)
        (folder / name).write_bytes(content)
        if rehashed:
            _rehash(folder, name, content)
        bundle = Bundle.open(folder)
        if name.endswith(".onnx"):
            RUNTIMES["onnxruntime"].start(folder / name, bundle.signature, bundle.files.read)
    finally:
        for file in (name, MANIFEST):
            shutil.copyfile(BUNDLE / file, folder / file)
    return "taken as harmless"


def spoiled(content: bytes, name: str, random: Random) -> bytes:
    """Spoil a file in a way that its kind can be spoiled."""
    suffix = Path(name).suffix
    if random.random() < 0.3 or suffix not in {".json", ".pt", ".onnx"}:
        return mutations.spoiled_bytes(content, random)
    if suffix == ".onnx":
        model = onnx.load_model_from_string(content)
        for _ in range(random.choice((1, 1, 2, 4))):
            mutations.spoil_message(model, random)
        return bytes(model.SerializeToString())
    return (mutations.spoiled_json if suffix == ".json" else mutations.spoiled_zip)(content, random)


def _rehash(folder: Path, name: str, content: bytes) -> None:
    manifest = json.loads((BUNDLE / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(manifest_text(manifest))
