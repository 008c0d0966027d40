"""ONNX Runtime on the CPU, in one thread unless more are asked for: a step is too small to be shared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from rnn_export.bundle.untrusted.files import Read
from rnn_export.errors import BundleError, mismatch
from rnn_export.signature.signature import Call, Signature
from rnn_export.signature.tensors import Array, TensorSpec

ERRORS_ONLY = 3
NAMES = {"float": "float32", "double": "float64"}  # the others are called as everywhere


def start(path: Path, signature: Signature, read: Read = Path.read_bytes, threads: int = 1) -> Call:
    """Load an ONNX file, from its bytes: no file beside it can be meant.

    Raises:
        BundleError: ONNX Runtime refuses it, or it takes or gives something else than the signature says.
    """
    session = _session(read(path), path, threads)
    names, results = signature.input_names, signature.output_names
    told = dict(zip(names, map(_told, names, signature.arguments), strict=True))
    specs = [*(spec.in_file for spec in signature.outputs), *signature.returned_state]
    given = dict(zip(results, map(_told, results, specs), strict=True))
    expected = [told[name] for name in signature.file_inputs]
    expected += [given[name] for name in signature.file_outputs]
    found = [_found(value) for value in (*session.get_inputs(), *session.get_outputs())]
    if found != expected:
        raise BundleError(mismatch(f"{path}, the call", expected, found, "Export the bundle again."))

    def call(*arguments: Array) -> list[Array]:
        arrays: list[Array] = session.run(results, dict(zip(names, arguments, strict=True)))
        return signature.apart(arguments, arrays)

    return call


def _session(content: bytes, path: Path, threads: int) -> Any:
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ERRORS_ONLY
    providers = ["CPUExecutionProvider"]
    try:
        # With its fallback it would print to standard output, and try the same once more.
        return onnxruntime.InferenceSession(content, options, providers, enable_fallback=False)
    except Exception as error:  # it has an exception for every kind of failure, and no common one
        reason = str(error).strip().partition("\n")[0]
        raise BundleError(f"{path} cannot be loaded in ONNX Runtime: {reason}. Export it again.") from error


def _told(name: str, spec: TensorSpec) -> str:
    return f"{name}: {spec}"


def _found(value: Any) -> str:
    dtype = value.type.removeprefix("tensor(").removesuffix(")")
    shape: Sequence[int | str] = value.shape
    return _told(value.name, TensorSpec(value.name, NAMES.get(dtype, dtype), tuple(shape)))
