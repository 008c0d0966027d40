"""Load a bundle to run it."""

from pathlib import Path

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.layout import MODEL_C
from rnn_export.errors import BundleError, RuntimeUnavailableError, mismatch, nearest
from rnn_export.runtimes import ship as shipping
from rnn_export.runtimes.table import RUNTIMES, Runner


def load(folder: str | Path, runtime: str = "onnxruntime", threads: int = 1) -> Runner:
    """Load a bundle's model after looking at every file of the bundle, and checking its sha256.

    A ``.pt``, a ``.pt2`` and a ``.c`` are code that runs with your rights: load only those of people whom you
    trust. A hash says that a copy is whole, not who made it; a signature does
    (:func:`rnn_export.bundle.signing.check`).

    Args:
        folder: a bundle.
        runtime: ``"onnxruntime"``, ``"torchscript"``, ``"torch_export"`` (if the bundle has ``model.pt2``),
            ``"c"`` or ``"reference"`` (slow, ONNX's own).
        threads: how many may share a call, or a step of a session. In ``"c"`` each takes some rows of the
            batch, and the result has the same bits; handing them out takes some 20 microseconds. In
            ``"onnxruntime"`` they share operators. The others take one.

    Raises:
        BundleError: there is no bundle, a file is not the one that was written or cannot be loaded, or there
            is no room for the library that is built of C.
        RuntimeUnavailableError: there is no such runtime, it is not installed, or has no file here.
        InputError: there is no such number of threads in this runtime.

    The runner takes and gives numpy arrays: ``outputs, state = runner(inputs, state)``. ``state`` is a tuple
    in the manifest's order; ``None`` is the initial state. One runner serves any number of threads.
    """
    return _loaded(Bundle.open(folder), runtime, threads)


def load_again(folder: str, runtime: str, threads: int, digest: str) -> Runner:
    """Load the bundle that a pickled runner was of.

    Raises:
        BundleError: there is none, or another one; and what :func:`load` raises.
    """
    bundle = Bundle.open(folder)
    if bundle.digest != digest:
        remedy = "Load the new one and send its runner, or bring back the old one."
        raise BundleError(
            mismatch(f"{folder}, of which a runner was pickled, digest", digest, bundle.digest, remedy)
        )
    return _loaded(bundle, runtime, threads)


def _loaded(bundle: Bundle, runtime: str, threads: int) -> Runner:
    known = RUNTIMES.get(runtime)
    if known is None:
        raise RuntimeUnavailableError(
            mismatch(
                "runtime",
                " or ".join(map(repr, RUNTIMES)),
                repr(runtime),
                nearest(str(runtime), RUNTIMES, "Name one of them."),
            )
        )
    file = f"model{known.suffix}"
    if file not in bundle.manifest.files:
        got = f"no such file ({bundle.why_without(file)})"
        raise RuntimeUnavailableError(
            mismatch(f"{bundle.folder} for runtime {runtime!r}", file, got, "Choose another runtime.")
        )
    call = known.start(bundle.folder / file, bundle.signature, bundle.files.read, threads)
    origin = load_again, (str(bundle.folder.resolve()), runtime, threads, bundle.digest)
    return Runner(call, bundle.signature, f"{bundle.folder / file} in {runtime}", origin)


def ship(folder: str | Path, result: Path, kind: str = "shared", march: str = "") -> Path:
    """Compile a bundle's ``model.c`` to a library to ship: ``shared``, ``static`` or ``object``.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written;
            or the result's folder cannot be written, or the compiler fails.
        RuntimeUnavailableError: the bundle has no C, or there is no compiler.
    """
    bundle = with_c(folder)
    return shipping.ship(bundle.folder / MODEL_C, result, kind, march, bundle.files.read)


def with_c(folder: str | Path) -> Bundle:
    """Open a bundle that has a ``model.c``.

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
        RuntimeUnavailableError: it has no C.
    """
    bundle = Bundle.open(folder)
    if MODEL_C not in bundle.manifest.files:
        raise RuntimeUnavailableError(f"{folder} has no {MODEL_C}: {bundle.why_without(MODEL_C)}")
    return bundle
