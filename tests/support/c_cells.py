"""A module as C without a bundle: captured, written and called."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rnn_export.backends.c.write.model import compile_program
from rnn_export.capture import step
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.passes.pipeline import PASSES
from rnn_export.program.program import Program
from rnn_export.program.small_weights import FLOAT32
from rnn_export.runtimes import c
from rnn_export.signature.signature import Call


def captured(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[Subject, Program]:
    """Give a module's Program after the passes that C is written after."""
    subject = find_streaming(inspect_module(module.eval(), example))
    program = step.capture(subject)
    for run, _ in PASSES[:4]:
        program = run(program)
    return subject, program


def write_c(module: nn.Module, example: tuple[Tensor, ...], folder: Path, weights: str = FLOAT32) -> Subject:
    """Write ``model.c`` and ``model.h`` of a module; its functions are called after ``net``."""
    subject, program = captured(module, example)
    files = compile_program(program, subject.signature, "net", weights=weights)
    folder.mkdir(exist_ok=True)
    (folder / "model.c").write_text(files.source)
    (folder / "model.h").write_text(files.header)
    if files.weights:
        (folder / "model.c.weights").write_bytes(files.weights)
    return subject


def built(module: nn.Module, example: tuple[Tensor, ...], folder: Path, weights: str = FLOAT32) -> Call:
    """Give a module's C, built with what ``CC`` and ``CFLAGS`` say."""
    subject = write_c(module, example, folder, weights)
    return c.start(folder / "model.c", subject.signature)


def flat(value: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """List the tensors of a nested value."""
    return [value] if isinstance(value, Tensor) else [leaf for part in value for leaf in flat(part)]


def assert_as_eager(module: nn.Module, call: Call, arguments: tuple[Tensor, ...], tolerance: float) -> None:
    """Compare one call of C with eager."""
    with torch.no_grad():
        wanted = flat(module(*arguments))
    got = call(*(leaf.numpy() for leaf in flat(arguments)))
    for want, result in zip(wanted, got, strict=True):
        np.testing.assert_allclose(result, want.numpy(), rtol=tolerance, atol=tolerance)
