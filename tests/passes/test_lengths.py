"""Rows of a batch that end apart: each as if it were run alone; what lies behind its end reaches nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import rnn_export
from rnn_export.bundle.golden import NON_FINITE
from rnn_export.capture import step
from rnn_export.errors import InputError, LengthsError
from rnn_export.module.reading import inspect_module
from rnn_export.passes import lengths as lengths_pass
from rnn_export.passes.operators.guard import unguarded
from rnn_export.program.program import Program
from rnn_export.verification.verify import NOT_CHECKED, VerificationReport
from tests.support.cases import CALL_CASES, CASES, CallCase, ModelCase, sample
from tests.support.exports import Exported

# Every case and every way but those that differ from another one in nothing that matters here.
SAME = {"notebook", "one_unit", "wide", "deep_rnn", "char_rnn", "state_left_out", "as_many_steps_as_rows"}
RAGGED: list[ModelCase | CallCase] = [case for case in (*CASES, *CALL_CASES) if case.name not in SAME]
QUICK = ("lstm", "classifier", "torch_bidirectional")
each_ragged = pytest.mark.parametrize("case", sample(RAGGED, *QUICK))
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # said by torch.nn itself


@pytest.mark.several(1)
@each_ragged
def test_each_row_is_as_if_run_alone(case: ModelCase | CallCase, exported_ragged: Exported) -> None:
    bundle = exported_ragged(case)
    signature = bundle.signature
    assert signature.input_names[-1] == "lengths"
    rng = np.random.default_rng(0)
    spec = signature.inputs[0]
    shape = spec.sized(time=6, batch=4)
    tokens = spec.dtype == "int64"
    inputs = rng.integers(0, 7, shape) if tokens else rng.standard_normal(shape).astype(spec.dtype)
    lengths = np.array([4, 0, 6, 1])
    padded = np.moveaxis(inputs, (spec.time_axis, spec.batch_axis), (0, 1))
    if not tokens:
        padded[np.arange(6)[:, None] >= lengths] = np.nan
    for runtime in ("onnxruntime", "torchscript"):
        runner = rnn_export.load(bundle.folder, runtime)
        outputs, state = runner(inputs, lengths=lengths)
        for row, length in enumerate(lengths):
            got = np.take(outputs, [row], signature.outputs[0].batch_axis)
            new = [
                np.take(leaf, [row], of.batch_axis)
                for leaf, of in zip(state, signature.returned_state, strict=True)
            ]
            if length == 0:
                assert not got.any()
                continue
            alone, last = runner(np.take(spec.cut(inputs, slice(0, length)), [row], spec.batch_axis))
            if signature.outputs[0].time_axis is not None:
                assert not signature.outputs[0].cut(got, slice(length, None)).any()
                got = signature.outputs[0].cut(got, slice(0, length))
            for one, other in zip([got, *new], [alone, *last], strict=True):
                np.testing.assert_allclose(one, other, atol=3e-6, rtol=1e-5)


@each_ragged
def test_every_file_is_proven(case: ModelCase | CallCase, exported_ragged: Exported) -> None:
    report = VerificationReport.stored(exported_ragged(case).manifest)
    assert report.passed
    unchecked = {check.detail for check in report.checks if check.verdict == NOT_CHECKED}
    assert all(reason.startswith("the reference evaluator") for reason in unchecked)


def test_the_golden_vectors_hold_ragged_rows_and_nan(rnn: ModelCase, exported_ragged: Exported) -> None:
    cases = [case for case in exported_ragged(rnn).cases if case.kind == "run" and case.batch == 5]
    assert {0, 7} <= {int(length) for case in cases for length in case.lengths}
    assert any(np.isnan(case.inputs[0]).any() for case in cases)
    ordinary = [case for case in cases if case.values != NON_FINITE]
    assert not any(np.isnan(result).any() for case in ordinary for result in case.float32)


@pytest.mark.parametrize("name", ["gru", "lstm", "torch_bidirectional"])
def test_operators_are_told_the_lengths(name: str, exported_ragged: Exported) -> None:
    [case] = [case for case in RAGGED if case.name == name]
    model = unguarded(ir.load(exported_ragged(case).folder / "model.onnx"))
    operators = [node for node in model.graph if node.op_type in ("GRU", "LSTM")]
    assert len(operators) == 1
    assert operators[0].inputs[4] is not None


def test_lengths_left_out_are_full(rnn: ModelCase, exported_ragged: Exported) -> None:
    runner = rnn_export.load(exported_ragged(rnn).folder)
    inputs = np.random.default_rng(0).standard_normal((5, 2, 4)).astype("f4")
    for one, other in zip(runner(inputs), runner(inputs, lengths=np.array([5, 5])), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (
            np.array([1, 6]),
            r"'lengths': expected numbers of time steps from 0 to 5, got \[1, 6\]. Give each row",
        ),
        (np.array([-1, 2]), r"from 0 to 5, got \[-1, 2\]"),
        (np.array([1, 2], np.int32), r"'lengths': expected int64 \[batch=2\], got int32 \[2\]"),
        (np.array([1, 2, 3]), r"'lengths': expected int64 \[batch=2\], got int64 \[3\]"),
    ],
)
def test_wrong_lengths_are_named(
    lengths: np.ndarray, message: str, rnn: ModelCase, exported_ragged: Exported
) -> None:
    runner = rnn_export.load(exported_ragged(rnn).folder)
    with pytest.raises(InputError, match=message):
        runner(np.zeros((5, 2, 4), "f4"), lengths=lengths)


def test_lengths_for_a_model_without_are_refused(rnn: ModelCase, exported: Exported) -> None:
    with pytest.raises(InputError, match=r"this model was exported without. Export it with lengths=True"):
        rnn_export.load(exported(rnn).folder)(np.zeros((5, 2, 4), "f4"), lengths=np.array([1, 2]))


def test_a_net_of_all_time_steps_is_left_as_rows_run_alone(exported_ragged: Exported) -> None:
    [case] = [case for case in RAGGED if case.name == "looks_ahead"]
    bundle = exported_ragged(case)
    assert bundle.manifest.form == "loop"
    assert any("scan.onnx" in reason for reason in bundle.manifest.verification["left_out"])


def test_a_loop_that_mixes_rows_is_refused(rnn: ModelCase) -> None:
    program = step.capture(inspect_module(*rnn.build()))
    ragged = Program(program.copy().model, replace(program.signature, lengths=True))
    [scan] = ragged.model.graph
    body = scan.attributes["body"].as_graph()
    body.inputs[0].shape = None
    with pytest.raises(LengthsError, match="has no axis for the batch"):
        lengths_pass.lengths(ragged)


def test_the_pass_adds_the_input_once(rnn: ModelCase) -> None:
    program = step.capture(inspect_module(*rnn.build()))
    assert lengths_pass.lengths(program).proto() == program.proto()
    once = lengths_pass.lengths(replace(program, signature=replace(program.signature, lengths=True)))
    assert [value.name for value in once.model.graph.inputs] == ["inputs", "state_0", "lengths"]
    assert lengths_pass.lengths(once).proto() == once.proto()


class Armed(nn.Module):
    """A counter, and a flag that falls with the first negative number and stays down."""

    def forward(self, x: torch.Tensor, count: torch.Tensor, armed: torch.Tensor) -> Any:
        flags = []
        for x_t in x:
            count, armed = count + 1, armed & (x_t > 0)
            flags.append(armed)
        return torch.stack(flags), count, armed


def test_states_that_are_no_floats_are_held() -> None:
    batch = 3
    begun = torch.zeros(batch, dtype=torch.int64), torch.ones(batch, dtype=torch.bool)
    program = step.capture(inspect_module(Armed().eval(), (torch.randn(4, batch), *begun)))
    ragged = lengths_pass.lengths(replace(program, signature=replace(program.signature, lengths=True)))
    x = np.array([[1, 1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]], "f4")
    given = [x, *(leaf.numpy() for leaf in begun), np.array([2, 4, 0])]
    found = ragged.run(dict(zip(ragged.signature.input_names, given, strict=True)))
    flags, count, armed = (found[name] for name in ragged.signature.output_names)
    np.testing.assert_array_equal(count, [2, 4, 0])
    np.testing.assert_array_equal(armed, [True, False, True])
    np.testing.assert_array_equal(flags, [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])


@pytest.mark.exhaustive
def test_zero_is_the_output_of_ended_rows_for_linear_layers_with_biases(tmp_path: Path) -> None:
    class Biased(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.GRU(3, 4)
            self.head = nn.Linear(4, 2)

        def forward(self, inputs, state=None):
            outputs, state = self.layer(inputs, state)
            return self.head(outputs) + 1, state

    bundle = rnn_export.export(Biased(), torch.randn(5, 2, 3), tmp_path / "bundle", lengths=True)
    outputs, _ = rnn_export.load(bundle.folder)(np.ones((5, 2, 3), "f4"), lengths=np.array([2, 5]))
    assert not outputs[2:, 0].any()
    assert outputs[:, 1].all()
