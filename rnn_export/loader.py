"""Load a bundle to run it."""

from pathlib import Path

from rnn_export.bundle import Bundle
from rnn_export.errors import RuntimeUnavailableError, mismatch
from rnn_export.runtimes import RUNTIMES, Runner


def load(folder: str | Path, runtime: str = "onnxruntime") -> Runner:
    """Load a bundle's model after checking every file's sha256.

    Args:
        folder: a bundle.
        runtime: ``"onnxruntime"``, ``"torchscript"`` or ``"reference"`` (slow, the ONNX project's own).

    Raises:
        BundleError: there is no bundle, or a file is not the one that was written.
        RuntimeUnavailableError: there is no such runtime, it is not installed, or has no file here.

    The runner takes and gives numpy arrays: ``outputs, state = runner(inputs, state)``. ``state`` is a tuple
    in the manifest's order; ``None`` is the initial state.
    """
    bundle = Bundle.open(folder)
    known = RUNTIMES.get(runtime)
    if known is None:
        raise RuntimeUnavailableError(
            mismatch("runtime", " or ".join(map(repr, RUNTIMES)), repr(runtime), "Name one of them.")
        )
    file = f"model{known.suffix}"
    if file not in bundle.manifest.files:
        raise RuntimeUnavailableError(
            mismatch(f"{folder} for runtime {runtime!r}", file, "no such file", "Choose another runtime.")
        )
    return Runner(known.start(bundle.folder / file, bundle.signature), bundle.signature)
