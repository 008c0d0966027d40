"""The table of PyTorch's operators that ``torch.onnx`` makes for each export, made quickly.

It asks each of 500 functions for the domain of its operators, and onnxscript parses and translates the
function's source to tell: half a second of every export. The function knows its domain without that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from onnxscript.values import TracedOnnxFunction

from rnn_export.exclusive import LOCK


@contextmanager
def unparsed() -> Iterator[None]:
    """Let functions of onnxscript tell their domain without their source: nothing else is asked of them."""
    with LOCK:
        whole = TracedOnnxFunction.function_ir
        TracedOnnxFunction.function_ir = property(_told)  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            TracedOnnxFunction.function_ir = whole  # type: ignore[method-assign]


def _told(function: Any) -> SimpleNamespace:
    return SimpleNamespace(domain=function.opset.domain)
