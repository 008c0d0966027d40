"""Keep the talk of upstream's exporters from the user's terminal."""

import contextlib
import logging
from collections.abc import Iterator
from importlib import import_module

from rnn_export.exclusive import LOCK, without_warnings

LOGGERS = ("torch.onnx", "torch.export", "torch.fx", "torch._inductor", "onnxscript", "onnx_ir")
RUNNING = "torch.fx.graph_module"  # prints where a graph failed that ran


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings and log messages of the exporters."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    with without_warnings():
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def unprinted(module: str) -> Iterator[None]:
    """Let a module of others print nothing; ``sys.stderr`` stays as it is, for others write to it."""
    printing = vars(import_module(module))
    with LOCK:
        printing["print"] = lambda *_, **__: None
        try:
            yield
        finally:
            del printing["print"]
