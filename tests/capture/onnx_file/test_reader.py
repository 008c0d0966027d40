"""Loops of files that others made become Scans, or are left with the reason."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script import script
from rnn_export.errors import OnnxFileError
from rnn_export.module.reading import inspect_module
from rnn_export.passes import pipeline
from rnn_export.passes.operators.guard import usual
from rnn_export.program.program import Program
from rnn_export.program.scan import Scan, scans
from tests.support import loops
from tests.support.cases import CASES, ModelCase, sample
from tests.support.loop_form import export_loop

CALLS = ((1, 1), (2, 3), (9, 4))


def assert_same(model: onnx.ModelProto, program: Program) -> None:
    """Compare a Program with a model, at sizes that nothing else was tried on."""
    onnx.checker.check_model(program.proto(), full_check=True)
    given = Program(ir.from_proto(model))
    for time, batch in CALLS:
        feeds = given.sample(time, batch)
        before, after = given.run(feeds), program.run(feeds)
        assert list(before) == list(after)
        for name, expected in before.items():
            np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def loops_of(program: Program) -> list[Scan]:
    return scans(program.model.graph)


def operators(program: Program) -> set[str]:
    return {node.op_type for graph in program.model.graphs() for node in graph}


@pytest.mark.several(2)
@pytest.mark.parametrize("case", sample(CASES, "lstm", "bidirectional", "char_rnn", "layers_first"))
def test_the_loops_that_torch_writes_are_folds(case: ModelCase) -> None:
    subject = inspect_module(*case.build())
    model = export_loop(script.script(subject), subject)
    reading = reader.read(model, subject.signature)
    assert reading.left == []
    assert reading.program.signature == subject.signature
    assert len(loops_of(reading.program)) == len(reading.loops) > 0
    assert not [name for name in operators(reading.program) if name == "Loop" or "Sequence" in name]
    backward = [scan.reversed for scan in loops_of(reading.program)]
    assert sum(backward) == ("bidirectional" in case.name)
    assert all(scan.plain for scan in loops_of(reading.program))
    assert_same(model, reading.program)
    for stage in pipeline.optimize(reading.program):
        assert_same(model, stage.program)


@pytest.mark.several(8)
@pytest.mark.parametrize("name", loops.FOLDS)
def test_a_fold_becomes_a_scan(name: str) -> None:
    model = loops.FOLDS[name]
    reading = reader.read(model)
    assert reading.left == []
    assert not operators(reading.program) & {"Loop", "SplitToSequence", "ConcatFromSequence"}
    assert_same(model, reading.program)
    for stage in pipeline.optimize(reading.program):
        assert_same(model, stage.program)


def test_a_list_of_pieces_stays_in_its_loop() -> None:
    """No tensor holds the lists of all time steps."""
    sizes = "rows = Shape <start = 0, end = 1> (x_t) each = ConstantOfShape <value = int64[1] {1}> (rows)"
    cut = "cut = SplitToSequence <axis = 0> (x_t, each) a = SequenceAt (cut, zero)"
    step = f"x_t = Gather (x, i) {sizes} {cut} s = Add (a, h_s) h_t = Tanh (s)"
    model = loops.model(loops.loop(f"{step} y_t = Neg (h_t)"))
    reading = reader.read(model)
    assert reading.left == []
    for stage in pipeline.optimize(reading.program):
        assert_same(model, stage.program)


def test_what_the_folding_of_constants_cannot_read_is_an_error_of_ours() -> None:
    cut = "all = Shape (x_t) rows = Gather (all, zero) cut = SplitToSequence <axis = 0> (x_t, rows)"
    step = f"x_t = Gather (x, i) {cut} a = SequenceAt (cut, zero) s = Add (a, h_s) h_t = Tanh (s)"
    with pytest.raises(OnnxFileError, match=r"its constants cannot be folded: .*SplitToSequence"):
        reader.read(loops.model(loops.loop(f"{step} y_t = Neg (h_t)")))


def test_what_is_read_from_its_end_is_read_by_a_reversed_scan() -> None:
    program = reader.read(loops.FOLDS["from its end, into the front of a list"]).program
    assert [scan.reversed for scan in loops_of(program)] == [True]
    assert operators(program) == {"Scan", "Add", "Tanh", "Identity"}


def test_a_list_that_is_an_output_stays_a_list() -> None:
    call = "net (float[T,B,3] x, float[B,3] h) => (seq(float[B,3]) all, float[B,3] last)"
    model = loops.model(loops.listed(loops.PUT, end=" "), call)
    program = reader.read(model).program
    assert "Loop" not in operators(program)
    assert_same(model, program)


@pytest.mark.parametrize("name", [name for name in loops.LEFT if "more rows" not in name])
def test_what_is_not_proven_is_left(name: str) -> None:
    model, reason = loops.LEFT[name]
    reading = reader.read(model)
    [told] = reading.left
    assert reason in told
    assert "Loop" in operators(reading.program)
    assert not loops_of(reading.program)


def test_what_gives_something_else_as_a_scan_is_left() -> None:
    model, reason = loops.LEFT["a state that gets more rows"]
    reading = reader.read(model, same=lambda before, after: False)
    assert [loop.reason for loop in reading.loops] == [reason]
    assert "Loop" in operators(reading.program)


def test_a_loop_inside_of_a_loop_is_left_and_the_outer_one_is_not() -> None:
    inner = """
        g, w = Loop (length, yes, h_s) <body = inner (int64 j, bool go_2, float[B,3] g_s)
            => (bool go_3, float[B,3] g_t, float[B,3] w_t) {
            go_3 = Identity (go_2) v = Gather (x, j) u = Add (v, g_s) g_t = Tanh (u) w_t = Identity (g_t) }>
        x_t = Gather (x, i) h_t = Mul (g, x_t) y_t = Neg (h_t)
    """
    model = loops.model(loops.loop(inner))
    reading = reader.read(model)
    assert [(loop.kind, loop.reason) for loop in reading.loops] == [
        ("Loop", ""),
        ("Loop", "it is inside of another loop or branch"),
    ]
    assert len(loops_of(reading.program)) == 1
    assert_same(model, reading.program)


def test_one_loop_is_left_and_the_next_is_not() -> None:
    stops = loops.loop(f"{loops.STEP} m = ReduceMax <keepdims = 0> (h_t) go_on = Less (m, big)")
    left = "big = Constant <value = float {1000.0}> ()" + stops.replace("go_on = Identity (go)", "").replace(
        "last, y =", "first, w ="
    )
    folded = loops.loop(loops.STEP).replace("h) <body = step", "first) <body = other")
    model = loops.model(left + folded, loops.CALL.replace("last)", "last, float[N,B,3] w)"))
    reading = reader.read(model)
    assert ["may stop early" in loop.reason for loop in reading.loops] == [True, False]
    assert len(loops_of(reading.program)) == 1
    assert_same(model, reading.program)


@pytest.mark.several(5)
@pytest.mark.parametrize("name", loops.SCANS)
def test_a_scan_runs_one_way_over_leading_axes(name: str) -> None:
    model, directions = loops.SCANS[name]
    reading = reader.read(model)
    assert reading.left == []
    [scan] = loops_of(reading.program)
    assert scan.plain
    if "one step ago" not in name:
        assert list(scan.node.attributes.get_ints("scan_input_directions", [])) == directions
    assert_same(model, reading.program)
    for stage in pipeline.optimize(reading.program):
        assert_same(model, stage.program)
    if directions and "among" not in name:
        assert "Slice" not in operators(reading.program)


def test_an_older_opset_is_converted() -> None:
    model = parser.parse_model(
        """<ir_version: 6, opset_import: ["" : 11]>
        net (float[T,B,3] x, float[B,3] h) => (float[T,1,B,3] y, float[B,3] last) {
        sizes = Shape (x) zero = Constant <value = int64 {0}> () length = Gather (sizes, zero)
        last, y = Loop (length, , h) <body = step (int64 i, bool go, float[B,3] h_s)
            => (bool go_on, float[B,3] h_t, float[1,B,3] y_t) {
            go_on = Identity (go) x_t = Gather (x, i) s = Add (x_t, h_s) h_t = Tanh (s)
            y_t = Unsqueeze <axes = [0]> (h_t) }>
        }"""
    )
    reading = reader.read(model)
    assert reading.left == []
    assert reading.program.model.opset_imports[""] == 18
    assert_same(model, reading.program)


def test_a_newer_opset_stays() -> None:
    model = loops.model(loops.loop(loops.STEP))
    model.opset_import[0].version = 21
    reading = reader.read(model)
    assert reading.program.model.opset_imports[""] == 21
    assert_same(model, pipeline.optimize(reading.program)[-1].program)


def test_an_opset_that_cannot_be_converted_is_refused() -> None:
    model = loops.model(loops.loop(loops.STEP))
    model.opset_import[0].version = 1
    with pytest.raises(OnnxFileError, match="it cannot be converted from opset 1 to 18"):
        reader.read(model)


def test_a_scan_of_opset_8_is_refused() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(loops.SCANS["forward"][0])
    model.opset_import[0].version = 8
    with pytest.raises(OnnxFileError, match="its Scan is of opset 8, which has a batch axis of its own"):
        reader.read(model)


def test_functions_are_inlined() -> None:
    model = loops.model(loops.loop(loops.STEP))
    function = onnx.helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [onnx.helper.make_node("Add", ["a", "a"], ["b"])],
        [onnx.helper.make_opsetid("", 18)],
    )
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    model.graph.node[-1].attribute[0].g.node[-1].domain = "own"
    model.graph.node[-1].attribute[0].g.node[-1].op_type = "Twice"
    reading = reader.read(model)
    assert len(loops_of(reading.program)) == 1
    assert_same(model, reading.program)


def test_marks_follow_a_loop_through_the_passes() -> None:
    case = next(case for case in CASES if case.name == "bidirectional")
    subject = inspect_module(*case.build())
    model = export_loop(script.script(subject), subject)
    last = pipeline.optimize(reader.read(model, marked=True).program)[-1].program
    marked = {node.op_type: mark for node in usual(last.model.graph) for mark in node.metadata_props.values()}
    assert marked == {"GRU": "0", "LSTM": "1"}
    unmarked = reader.read(model).program
    assert not any(scan.node.metadata_props for scan in loops_of(unmarked))


@pytest.mark.parametrize("operator", ["Expand (one_, size)", "Tile (one_, size)"])
@pytest.mark.parametrize(("size", "computed"), [(10, True), (11, False)])
def test_a_large_constant_is_not_computed(
    operator: str, size: int, computed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few bytes of a file may ask for more than the memory."""
    monkeypatch.setattr(reader, "LARGEST", 10)
    model = loops.model(
        f"""
        size = Constant <value = int64[1] {{{size}}}> () one_ = Constant <value = float[1] {{1.0}}> ()
        many = {operator} sum = ReduceSum <keepdims = 0> (many) y = Add (x, sum) last = Neg (h)
        """
    )
    found = operators(reader.read(model).program)
    assert (operator.partition(" ")[0] not in found) == computed
