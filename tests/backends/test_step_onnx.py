"""``step.onnx`` is written of models that stream; where it cannot be, the reason is kept: nothing fails."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import onnx_ir as ir
import pytest

from rnn_export.backends.write import Written
from rnn_export.bundle.layout import STEP_ONNX
from rnn_export.errors import PassError
from rnn_export.program.program import Program
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec, StateSpec
from rnn_export.verification.choose import _left_out

SIGNATURE = Signature(
    (InputSpec("x", "float32", ("time", "batch", 3)),),
    (StateSpec("h", "float32", ("batch", 3)),),
    (OutputSpec("y", "float32", ("time", "batch", 3)),),
    "",
)
STEP = "net (float[batch,3] x, float[batch,3] h) => (float[batch,3] y, float[batch,3] h_out)"


def step(*, exact: bool = False) -> Program:
    text = f'<ir_version: 8, opset_import: ["" : 18]> {STEP} {{ h_out = Add (h, x) y = Mish (h_out) }}'
    model = ir.from_proto(onnx.parser.parse_model(text))
    model.graph[0].metadata_props["pkg.torch.onnx.stack_trace"] = "/home/somebody/model.py"
    return Program(model, SIGNATURE.one_step)


def refused(*, exact: bool = False) -> Program:
    raise PassError("one time step of the model holds Loop, which is no plain operator")


def failing(*, exact: bool = False) -> Program:
    raise ZeroDivisionError("oh")


def written(
    folder: Path, one_step: Any, signature: Signature = SIGNATURE, opset: int | None = None
) -> Written:
    improved: Any = SimpleNamespace(
        captured=SimpleNamespace(subject=SimpleNamespace(signature=signature)), one_step=one_step
    )
    return Written(improved, folder, "net", {"epoch": "3"}, (), {}, opset=opset).with_step()


def test_it_has_the_names_and_the_metadata_of_the_model_and_nothing_of_the_machine(tmp_path: Path) -> None:
    assert not written(tmp_path, step).left_out
    content = (tmp_path / STEP_ONNX).read_bytes()
    assert b"somebody" not in content
    model = onnx.load_from_string(content)
    assert [value.name for value in model.graph.input] == ["x", "h"]
    assert [value.name for value in model.graph.output] == ["y", "h_out"]
    facts = {prop.key: prop.value for prop in model.metadata_props}
    assert facts["rnn_export.metadata.epoch"] == "3"
    assert "time" not in facts["rnn_export.signature"]
    written(tmp_path, step)
    assert (tmp_path / STEP_ONNX).read_bytes() == content


@pytest.mark.parametrize(
    ("one_step", "opset", "reason"),
    [
        (refused, None, "step.onnx: one time step of the model holds Loop, which is no plain operator"),
        (failing, None, "step.onnx: writing it failed: ZeroDivisionError: oh ("),
        (step, 15, "Mish"),
        (lambda exact: None, None, "step.onnx: no single time step of the module could be captured"),
    ],
)
def test_what_cannot_be_written_is_left_out_with_the_reason(
    tmp_path: Path, one_step: Any, opset: int | None, reason: str
) -> None:
    [said] = written(tmp_path, one_step, opset=opset).left_out
    assert said.startswith("step.onnx: ")
    assert reason in said
    assert not (tmp_path / STEP_ONNX).exists()


def test_a_model_that_does_not_stream_has_none(tmp_path: Path) -> None:
    whole = replace(SIGNATURE, not_streamable_because="it reads later time steps")
    assert not written(tmp_path, refused, whole).left_out
    assert not (tmp_path / STEP_ONNX).exists()


def test_a_wrong_one_is_left_out() -> None:
    assert _left_out(["scan"], {STEP_ONNX}, "scan") == [STEP_ONNX]
