"""A bundle's ``model.c`` as WebAssembly to ship: built, compared with eager, and only then written."""

from pathlib import Path

import numpy as np

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_C
from rnn_export.bundle.staging import beside, explained, sync
from rnn_export.errors import BundleError, RuntimeUnavailableError, mismatch
from rnn_export.runtimes import wasm, wasm_build
from rnn_export.runtimes.compiler import Entry, entry
from rnn_export.runtimes.load import with_c
from rnn_export.verification.compare import FAILED, NOT_CHECKED, Check
from rnn_export.verification.shipped import check_passed, compared

ENDING = ".wasm"
ROWS = 3  # of the first state that is looked at


def ship_wasm(folder: str | Path, result: Path) -> tuple[Path, Check]:
    """Write a bundle's ``model.c`` as WebAssembly, ``NAME.wasm``, into a folder, if it is right.

    Every golden vector is run, whole, cut and step by step, and compared with eager PyTorch as the bundle's
    own files are. Where ``wasmtime`` is not installed the file is written nevertheless, and the check says
    so.

    Returns:
        The file, and what was made of it.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written; or the result's folder
            cannot be written, or the compiler fails.
        RuntimeUnavailableError: the bundle has no C, or there is no compiler for WebAssembly.
        VerificationError: what was built does not agree with eager PyTorch.
    """
    bundle = with_c(folder)
    source = bundle.folder / MODEL_C
    declared = entry(source, bundle.files.read)
    target = result / f"{declared.model}{ENDING}"
    about = {"metadata": bundle.manifest.metadata}
    with explained(result, BundleError), beside(target) as own:
        content = wasm_build.build(source, own, bundle.signature, about, bundle.files.read)
        check = checked(content, bundle, declared, target.name)
        check_passed(check, target)
        built = own / target.name
        built.write_bytes(content)
        sync(own)
        built.replace(target)
    return target, check


def checked(content: bytes, bundle: Bundle, declared: Entry, name: str) -> Check:
    """Run all golden vectors of a bundle in a module, and compare them with eager's results."""
    try:
        module = wasm.Module(content)
    except RuntimeUnavailableError as error:
        return Check(name, wasm.PACKAGE, NOT_CHECKED, detail=str(error))
    signature = bundle.signature
    if difference := _begun(module, declared.model, bundle):
        return Check(name, wasm.PACKAGE, FAILED, detail=difference)
    call = wasm.caller(module, declared.model, signature, declared.workspaces(signature.free_sizes))
    return compared(call, bundle, name, wasm.PACKAGE)


def _begun(module: wasm.Module, model: str, bundle: Bundle) -> str:
    """Say how the state that a module begins with differs from the signature's, if it does."""
    expected = bundle.signature.initial_state(ROWS)
    found = wasm.initial_state(module, model, bundle.signature, ROWS)
    same = all(map(np.array_equal, expected, found))
    return "" if same else mismatch("initial_state()", expected, found, "Export the bundle again")
