"""One call of an ONNX model in ONNX Runtime: here, or wherever :data:`RUN` says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import onnxruntime

from rnn_export.signature.tensors import Array

FATAL_ONLY = 4
# Takes a model, its inputs by name, and the names of outputs; gives an array, or a list of them, for each.
Run = Callable[[bytes, Mapping[str, Array], Sequence[str]], list[Any]]


def session_of(model: bytes, *, optimized: bool) -> onnxruntime.InferenceSession:
    """Load an ONNX model for one thread, as it is, or ``optimized`` by ONNX Runtime, as hosts run it."""
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run_here(
    model: bytes, feeds: Mapping[str, Array], outputs: Sequence[str], *, optimized: bool = False
) -> list[Any]:
    """Run an ONNX model once, on one thread, in this process: see :func:`session_of`."""
    session = session_of(model, optimized=optimized)
    results: list[Any] = session.run(outputs, dict(feeds))
    return results


RUN: ContextVar[Run] = ContextVar("run", default=run_here)


@contextmanager
def running(run: Run) -> Iterator[None]:
    """Let this thread run its models in another way."""
    token = RUN.set(run)
    try:
        yield
    finally:
        RUN.reset(token)
