"""Calls without a time step or without a row: what counts as an answer, and that verification asks."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from rnn_export.passes.operators.guard import unguarded
from rnn_export.runtimes.empty_calls import fault
from rnn_export.runtimes.table import RUNTIMES
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import Array, InputSpec, OutputSpec, StateSpec

SIGNATURE = Signature(
    (InputSpec("x", "float32", ("time", "batch", 3)),),
    (StateSpec("h", "float32", ("batch", 4)),),
    (OutputSpec("y", "float32", ("time", "batch", 2)),),
    "",
)


def right(x: Array, h: Array) -> list[Array]:
    return [np.zeros((*x.shape[:2], 2), np.float32), h]


def forgetful(x: Array, h: Array) -> list[Array]:
    return [right(x, h)[0], np.zeros_like(h)]


def refusing(x: Array, h: Array) -> list[Array]:
    if not x.size:
        raise ValueError("no\ntime steps")
    return right(x, h)


def test_what_is_wrong_is_said() -> None:
    assert not fault(right, SIGNATURE, answers=True)
    assert fault(forgetful, SIGNATURE, answers=True).startswith("0 time steps and 2 rows: h: expected none")
    assert fault(refusing, SIGNATURE, answers=True).endswith("got an error: no time steps")
    assert not fault(refusing, SIGNATURE, answers=False)


def test_an_operator_without_its_guard_does_not_answer(rnn: object, exported: object, tmp_path: Path) -> None:
    bundle = exported(rnn)  # type: ignore[operator]
    model = ir.load(bundle.folder / "model.onnx")
    call = RUNTIMES["onnxruntime"].start(bundle.folder / "model.onnx", bundle.signature)
    assert not fault(call, bundle.signature, answers=True)
    ir.save(unguarded(model), tmp_path / "bare.onnx")
    call = RUNTIMES["onnxruntime"].start(tmp_path / "bare.onnx", bundle.signature)
    assert "state_0" in fault(call, bundle.signature, answers=True)


@pytest.mark.parametrize("file", ["model.onnx", "variants/scan.onnx", "variants/loop.onnx"])
def test_every_form_answers(rnn: object, exported: object, file: str) -> None:
    bundle = exported(rnn)  # type: ignore[operator]
    for runtime in ("onnxruntime", "reference"):
        call = RUNTIMES[runtime].start(bundle.folder / file, bundle.signature)
        assert not fault(call, bundle.signature, answers=True)
