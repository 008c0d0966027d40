"""Every pass leaves the Program what it was; loops hold recurrences alone; the fastest form comes first."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from rnn_export.capture import step
from rnn_export.capture.onnx_file import reader
from rnn_export.errors import PassError
from rnn_export.module import eager
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.passes import pipeline
from rnn_export.passes.choose import OPERATORS, rank
from rnn_export.passes.contract import Pass
from rnn_export.passes.operators.guard import unguarded
from rnn_export.program.agree import agree
from rnn_export.program.program import Program
from rnn_export.verification import grid
from tests.support import loops
from tests.support.cases import CALL_CASES, FOLDS, CallCase, ModelCase, each_fold, sample
from tests.support.stages import EXPECTED, FUSED, form, off_cycle, operators, stages

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # said by torch.nn itself


@each_fold
def test_every_stage_is_the_module(case: ModelCase) -> None:
    subject = inspect_module(*case.build())
    reference = eager.start(subject, torch.float64)
    draw = grid.Draw(subject, reference)
    inputs, state = draw.inputs(11, 5), draw.state(5)
    feeds = dict(zip(subject.signature.input_names, (*inputs, *state), strict=True))
    want = reference(*inputs, *state)
    for stage in stages(case):
        onnx.checker.check_model(stage.program.proto(), full_check=True)
        for got, expected in zip(stage.program.run(feeds).values(), want, strict=True):
            np.testing.assert_allclose(got, expected, atol=2e-6, rtol=1e-5, err_msg=stage.name)


@each_fold
def test_loops_hold_nothing_but_recurrences(case: ModelCase) -> None:
    names = [stage.name for stage in stages(case)]
    for stage in stages(case)[names.index("distribute") :]:
        loops = [node for node in stage.program.model.graph if node.op_type == "Scan"]
        assert not [off_cycle(scan) for scan in loops if off_cycle(scan)], stage.name


@pytest.mark.parametrize("case", sample(FOLDS, "gru", "deep_mixed"))
def test_passes_are_reproducible(case: ModelCase) -> None:
    again = pipeline.optimize(step.capture(inspect_module(*case.build())))
    for one, other in zip(stages(case), again, strict=True):
        assert one.program.proto() == other.program.proto(), one.name


LAYERS = {
    "textbook": ["RNN"],
    "optional_state": ["RNN"],
    "state_left_out": ["RNN"],
    "torch_rnn": ["RNN", "RNN"],
    "torch_gru": ["GRU"],
    "torch_gru_deep": ["GRU", "GRU"],
    "torch_lstm_rows_first": ["LSTM", "LSTM"],
    "as_many_steps_as_rows": ["GRU"],
    "tagger": ["LSTM"],
    "classifier": ["GRU"],
    "torch_rnn_cell": ["RNN"],
    "torch_lstm_cell": ["LSTM"],
    "step": ["LSTM"],
    # The operator has no projection, ONNX Runtime none of them in float64, and no operator is this one.
    "torch_lstm_projected": ["Scan"],
    "torch_lstm_float64": ["Scan"],
    "parallel_in_training": ["Scan"],
}
FOLDED = [case for case in CALL_CASES if case.name in LAYERS]


QUICK = ("textbook", "torch_gru_deep", "torch_lstm_rows_first", "tagger", "classifier", "step")


@pytest.fixture(scope="module", params=sample(FOLDED, *QUICK))
def optimized(request: pytest.FixtureRequest) -> tuple[CallCase, Subject, list[pipeline.Stage]]:
    subject = find_streaming(inspect_module(*request.param.build(), step=request.param.step))
    return request.param, subject, pipeline.optimize(step.capture(subject))


def test_every_way_of_a_fold_is_here() -> None:
    others = {
        "outputs_alone",
        "state_within",
        "torch_bidirectional",
    }  # run whole, as no step of theirs is theirs
    assert {case.name for case in CALL_CASES} == {*LAYERS, *others}


@pytest.mark.several(4)
def test_every_layer_is_an_operator(optimized: tuple[CallCase, Subject, list[pipeline.Stage]]) -> None:
    case, _, stages_of_case = optimized
    names = [stage.name for stage in stages_of_case]
    for stage in stages_of_case[names.index("distribute") :]:
        loops = [node for node in stage.program.model.graph if node.op_type == "Scan"]
        assert not [off_cycle(scan) for scan in loops if off_cycle(scan)], stage.name
    program = next(stage.program for stage in stages_of_case if stage.form == "operator")
    assert [name for name in operators(program) if name in {*OPERATORS, "Scan"}] == LAYERS[case.name]
    assert operators(program).count("Transpose") == (case.inputs[1] == "b") + (
        case.outputs[:12] == "[batch, time"
    )
    assert "CumSum" not in operators(program)


def test_every_form_of_a_way_is_the_module(optimized: tuple[CallCase, Subject, list[pipeline.Stage]]) -> None:
    _, subject, stages_of_case = optimized
    reference = eager.start(subject, torch.float64)
    draw = grid.Draw(subject, reference)
    inputs, state = draw.inputs(11, 5), draw.state(5)
    feeds = dict(zip(subject.signature.input_names, (*inputs, *state), strict=True))
    for name, program in pipeline.forms_of(stages_of_case).items():
        onnx.checker.check_model(program.proto(), full_check=True)
        for got, want in zip(program.run(feeds).values(), reference(*inputs, *state), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "name",
    sample(["torch_gru_deep", "torch_lstm_rows_first", "tagger", "classifier", "step"], "tagger", "step"),
)
def test_ragged_layers_are_operators(name: str) -> None:
    [case] = [case for case in CALL_CASES if case.name == name]
    subject = find_streaming(inspect_module(*case.build(), step=case.step))
    ragged = replace(subject.signature, lengths=True)
    forms = pipeline.forms_of(pipeline.optimize(replace(step.capture(subject), signature=ragged)))
    program = forms["operator"]
    layers = [node for node in unguarded(program.model).graph if node.op_type in {*OPERATORS, "Scan"}]
    assert [node.op_type for node in layers] == LAYERS[name]
    assert all(node.inputs[4] is not None for node in layers)
    assert agree(forms["step"], program)


def test_a_gemm_whose_last_input_does_not_count_is_a_product() -> None:
    """As it is written for a product, with ``beta`` 0."""
    product = "Gemm <beta = 0.0> ({}, W, c)".format
    model = loops.model(
        "W = Constant <value = float[3,3] {1,2,3,4,5,6,7,8,9}> () c = Constant <value = float {5.0}> ()"
        + loops.scan(
            "", f"p = {product('x_t')} q = {product('h_s')} s = Add (p, q) h_t = Tanh (s) y_t = Neg (h_t)"
        )
    )
    given = Program(ir.from_proto(model))
    made = pipeline.forms_of(pipeline.optimize(reader.read(model).program))["operator"]
    assert agree(given, made)
    left = {node.op_type for node in unguarded(made.model).graph}
    assert "RNN" in left
    assert not left & {"Gemm", "Scan"}


def test_what_is_turned_around_in_front_of_a_loop_stays_in_front_of_its_operator() -> None:
    made = pipeline.forms_of(
        pipeline.optimize(reader.read(loops.SCANS["turned around before only"][0]).program)
    )
    assert operators(made["operator"]) == ["Slice", "Unsqueeze", "RNN", "Squeeze", "Squeeze", "Neg"]


def test_an_output_layer_runs_once_for_the_last_time_step() -> None:
    [case] = [case for case in CALL_CASES if case.name == "classifier"]
    forms = pipeline.forms_of(pipeline.optimize(step.capture(find_streaming(inspect_module(*case.build())))))
    assert operators(forms["operator"]) == ["Transpose", "GRU", "Squeeze", "Gemm"]
    [scan] = [node for node in forms["scan"].model.graph if node.op_type == "Scan"]
    assert len(scan.outputs) == 1


@each_fold
def test_scratch_nets_come_out_as_operators(case: ModelCase) -> None:
    recurrent = [name for name in operators(form(case, "operator")) if name in {*OPERATORS, "Scan"}]
    assert recurrent == EXPECTED[case.name]


@each_fold
def test_one_loop_a_recurrence_and_one_product_for_all_projections(case: ModelCase) -> None:
    program = form(case, "scan")
    assert operators(program).count("Scan") == len(EXPECTED[case.name])
    for graph in program.model.graphs():
        left = [node.inputs[0] for node in graph if node.op_type == "MatMul"]
        assert len(left) == len(set(left))


def test_a_pass_that_changes_the_program_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def halve(program: Program) -> bool:
        weight = program.model.graph.initializers["model.W_hq"]
        weight.const_value = ir.tensor(weight.const_value.numpy() * np.float32(0.5), name=weight.name)
        return True

    program = form(FUSED, "step")
    monkeypatch.setattr(pipeline, "PASSES", ((Pass("halve", halve), ""),))
    with pytest.raises(PassError, match="pass halve changed what the Program computes"):
        pipeline.optimize(program)


def test_programs_of_other_weights_do_not_agree() -> None:
    one, other = (form(case, "step") for case in FOLDS if case.name in ("gru", "rnn"))
    assert agree(one, one)
    assert not agree(one, other)


@pytest.mark.parametrize(
    ("name", "time", "batch", "expected"),
    [
        ("rnn", 100, 1, ["gated", "operator", "scan", "step"]),
        ("rnn", 1, 1, ["operator", "gated", "scan", "step"]),
        ("rnn", 100, 64, ["scan", "step", "gated", "operator"]),
        ("rnn", 100, 5000, ["step", "scan", "gated", "operator"]),
        ("gru", 100, 64, ["operator", "scan", "step"]),
        ("gru", 100, 5000, ["step", "scan", "operator"]),
        ("list_state", 100, 1, ["scan", "step"]),
        ("list_state", 100, 5000, ["step", "scan"]),
    ],
)
def test_the_form_follows_from_the_example_and_the_state(
    name: str, time: int, batch: int, expected: list[str]
) -> None:
    case = next(case for case in FOLDS if case.name == name)
    assert rank(pipeline.forms_of(stages(case)), time, batch) == expected
