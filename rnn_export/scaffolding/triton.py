"""A model repository for NVIDIA Triton: of each bundle ``config.pbtxt`` and an ONNX file, the batch in front.

Triton batches requests of many sequences and keeps the state of each (``sequence_batching { state ... }``).
The file is compared with the bundle's golden vectors, in ONNX Runtime, before it is written: whole, each row
alone, as Triton may batch it with any other, and time step by time step.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/implicit_state_management.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import RUN, Case
from rnn_export.bundle.layout import MODEL_ONNX
from rnn_export.errors import VerificationError
from rnn_export.program.session import session_of
from rnn_export.scaffolding.batch_first import batch_first, moved, moved_back, shape_of
from rnn_export.scaffolding.models import Model
from rnn_export.scaffolding.render import render
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, StateSpec, TensorSpec
from rnn_export.verification import tolerance

DATA_TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64", "bool": "TYPE_BOOL"}
MOST, CANDIDATES = 64, 1024  # rows of a batch, and sequences at a time
IDLE_MICROSECONDS = 600_000_000
SINGLE_STEPS = 64  # time steps of the longest run that is taken apart
INITIAL_STATE = "initial_state"  # the folder in which Triton looks for first states


@dataclass(frozen=True)
class Tensor:
    """What the template is told of a tensor."""

    name: str
    data_type: str
    dims: list[int]
    output_name: str = ""
    initial: bytes = b""  # of a leaf of the state that does not begin with zeros


def repository(bundle: Bundle, model: Model) -> dict[str, bytes]:
    """Give the files of a bundle in a model repository: path and content.

    Raises:
        VerificationError: the file with the batch in front is not equal to eager PyTorch.
    """
    signature = bundle.signature
    written = batch_first(bundle.files.read(bundle.folder / MODEL_ONNX), signature)
    check(session_of(written, optimized=True), bundle)
    state = [_leaf(leaf) for leaf in signature.state]
    config = render(
        "config.pbtxt",
        model=model,
        inputs=[_tensor(spec.name, spec) for spec in signature.inputs],
        outputs=[_tensor(spec.name, spec) for spec in signature.outputs],
        state=state,
        most=MOST,
        candidates=CANDIDATES,
        idle=IDLE_MICROSECONDS,
    )
    files = {"config.pbtxt": config.encode(), f"1/{MODEL_ONNX}": written}
    files |= {f"{INITIAL_STATE}/{leaf.name}": leaf.initial for leaf in state if leaf.initial}
    return {str(Path(model.name) / path): content for path, content in files.items()}


def _tensor(name: str, spec: TensorSpec) -> Tensor:
    dims = [size if isinstance(size, int) else -1 for size in shape_of(spec)[1:]]
    return Tensor(name, DATA_TYPES[spec.dtype], dims)


def _leaf(leaf: StateSpec) -> Tensor:
    first = moved(leaf.initial_value(1), leaf)
    plain = _tensor(leaf.name, leaf)
    initial = first.astype(first.dtype.newbyteorder("<")).tobytes() if first.any() else b""
    return Tensor(plain.name, plain.data_type, plain.dims, leaf.output_name, initial)


def check(session: onnxruntime.InferenceSession, bundle: Bundle) -> None:
    """Compare a file that has the batch in front with the golden vectors of its bundle.

    Raises:
        VerificationError: it is not equal to eager PyTorch.
    """
    signature, cases = bundle.signature, bundle.cases
    allowed = tolerance.bounds(cases, signature)
    for case in cases:
        found = {"whole": _run(session, signature, case.inputs, case.state)}
        if case.kind == RUN and case.time <= SINGLE_STEPS:
            found["each row alone"] = _alone(session, signature, case)
            found["time step by time step"] = _stepped(session, signature, case)
        for how, results in found.items():
            deviation = tolerance.deviation(case, case.kept(results), allowed[case.name], signature)
            if not deviation.share <= 1:
                where = f"{bundle.folder}: {MODEL_ONNX} with the batch in front, {case.name} {how}"
                raise VerificationError(f"{where}: {deviation.where}")


def _run(
    session: onnxruntime.InferenceSession,
    signature: Signature,
    inputs: Sequence[Array],
    state: Sequence[Array],
) -> list[Array]:
    """Run a call, whose arrays are in the signature's order of axes."""
    specs = signature.arguments
    feeds = {spec.name: moved(array, spec) for spec, array in zip(specs, (*inputs, *state), strict=True)}
    results = session.run(signature.output_names, feeds)
    return [moved_back(array, spec) for array, spec in zip(results, signature.results, strict=True)]


def _alone(session: onnxruntime.InferenceSession, signature: Signature, case: Case) -> list[Array]:
    parts = []
    for row in range(case.batch):
        state = [
            leaf.take([row], spec.batch_axis) for leaf, spec in zip(case.state, signature.state, strict=True)
        ]
        parts.append(_run(session, signature, signature.rows(case.inputs, [row]), state))
    several = zip(signature.results, zip(*parts, strict=True), strict=True)
    return [np.concatenate(rows, spec.batch_axis) for spec, rows in several]


def _stepped(session: onnxruntime.InferenceSession, signature: Signature, case: Case) -> list[Array]:
    state: Sequence[Array] = case.state
    parts, count = [], len(signature.outputs)
    for step in range(case.time):
        results = _run(session, signature, signature.cut(case.inputs, slice(step, step + 1)), state)
        parts.append(results[:count])
        state = results[count:]
    return [*signature.joined(parts), *state]
