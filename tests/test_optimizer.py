"""``rnn_export.optimize``: a file stays what it was to everyone who calls it; what is wrong is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from typer.testing import CliRunner

import rnn_export
from rnn_export import optimizer
from rnn_export.capture.onnx_file import reader
from rnn_export.capture.script import script
from rnn_export.cli.main import app
from rnn_export.errors import OnnxFileError, PassError
from rnn_export.module.reading import inspect_module
from rnn_export.passes import pipeline
from rnn_export.passes.contract import Pass
from rnn_export.passes.operators.guard import unguarded
from rnn_export.program.program import Program
from tests.support import loops
from tests.support.cases import CASES, ModelCase, sample
from tests.support.foreign_loops import FOREIGN, STOPS_EARLY
from tests.support.loop_form import export_loop

A_LOOP = loops.FOLDS["a list"]


def model_of(case: ModelCase) -> onnx.ModelProto:
    subject = inspect_module(*case.build())
    return export_loop(script.script(subject), subject)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)


def assert_same(one: onnx.ModelProto, other: onnx.ModelProto) -> None:
    """Run both as a service does, at sizes that the comparison before writing does not try."""
    onnx.checker.check_model(other, full_check=True)
    for time, batch in ((1, 2), (4, 1), (11, 5)):
        feeds = Program(ir.from_proto(one)).sample(time, batch)
        for got, want in zip(run(other, feeds), run(one, feeds), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", sample(CASES, "rnn", "lstm", "deep_bidirectional", "list_state"))
def test_what_torch_writes_is_rewritten(case: ModelCase, tmp_path: Path) -> None:
    model = model_of(case)
    onnx.save(model, tmp_path / "in.onnx")
    result = rnn_export.optimize(tmp_path / "in.onnx", tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx")
    assert written == result.model
    assert_same(model, written)
    assert result.before["Loop"] == len(result.loops)
    assert not [name for name in result.after if name == "Loop" or "Sequence" in name]
    assert all(loop.became and not loop.left for loop in result.loops)
    backward = [name for loop in result.loops for name in loop.became if name.endswith("(reversed)")]
    assert len(backward) == ("bidirectional" in case.name)


def test_both_files_are_timed_where_that_is_asked_for(tmp_path: Path) -> None:
    model = model_of(CASES[1])
    assert rnn_export.optimize(model).speed is None
    result = rnn_export.optimize(model, tmp_path / "out.onnx", seconds=0.2)
    speed = result.speed
    assert speed is not None
    assert 0 < speed.after < speed.before
    said = f"T=100, B=1: {speed.before:.0f} us a call before, {speed.after:.0f} us after, "
    assert result.lines()[-1].startswith(said)
    assert result.to_json()["speed"]["before"] == speed.before


@pytest.mark.several(8)
@pytest.mark.parametrize("name", loops.FOLDS)
def test_other_loops_are_rewritten(name: str) -> None:
    result = rnn_export.optimize(loops.FOLDS[name])
    assert "Loop" not in result.after
    assert all(not loop.left for loop in result.loops)
    assert ("If" in result.after) == (name == "a branch inside")
    assert_same(loops.FOLDS[name], result.model)


@pytest.mark.parametrize("name", FOREIGN)
def test_loops_of_other_exporters_are_rewritten(name: str) -> None:
    model = FOREIGN[name]
    result = rnn_export.optimize(model)
    assert "Loop" not in result.after
    assert all(loop.became and not loop.left for loop in result.loops)
    assert result.model.opset_import[0].version == model.opset_import[0].version
    assert result.model.ir_version == model.ir_version
    onnx.checker.check_model(result.model, full_check=True)
    for time, batch in ((7, 2), (6, 1), (11, 5), (40, 3)):
        feeds = drawn(model, time, batch)
        for got, want in zip(run(result.model, feeds), run(model, feeds), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_loop_that_breaks_off_is_left_and_told() -> None:
    result = rnn_export.optimize(STOPS_EARLY)
    assert result.model is STOPS_EARLY
    assert result.loops[0].left.startswith("its condition is not constantly true")


@pytest.mark.several(9)
@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize(("time", "batch"), [(1, 2), (5, 3), (0, 2)])
def test_where_loops_of_other_exporters_fail_their_successors_fail(name: str, time: int, batch: int) -> None:
    model = FOREIGN[name]
    made, feeds = rnn_export.optimize(model).model, drawn(model, time, batch)
    try:
        wanted = run(model, feeds)
    except Exception:  # of ONNX Runtime, which has several
        if time:  # an empty call may be answered that failed: a list of nothing cannot be joined
            with pytest.raises(Exception, match=r"INVALID_ARGUMENT|FAIL"):
                run(made, feeds)
        return
    for got, want in zip(run(made, feeds), wanted, strict=True):
        assert got.size == want.size == 0 or np.allclose(got, want, rtol=1e-4, atol=1e-5)


def drawn(model: onnx.ModelProto, time: int, batch: int) -> dict[str, np.ndarray]:
    """Draw inputs whose sizes are right, whatever they are called: TensorFlow has the rows first."""
    random, inputs = np.random.default_rng((time, batch)), model.graph.input
    leading = [batch, time] if model.graph.name == "tf2onnx" else [time, batch]
    widths = [value.type.tensor_type.shape.dim[-1].dim_value for value in inputs]
    shapes = [[*leading, widths[0]], *([batch, width] for width in widths[1:])]
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    return {value.name: array for value, array in zip(inputs, arrays, strict=True)}


@pytest.mark.parametrize("name", loops.LEFT)
def test_what_is_left_is_unchanged_and_told(name: str, tmp_path: Path) -> None:
    model, reason = loops.LEFT[name]
    result = rnn_export.optimize(model, tmp_path / "out.onnx")
    assert result.model is model
    assert onnx.load(tmp_path / "out.onnx") == model
    assert not result.form
    assert [reason in str(loop) for loop in result.loops] == [True]
    assert result.lines()[-1] == "Nothing was changed: no loop could be rewritten."


def test_a_model_without_loops_is_unchanged() -> None:
    model = loops.model("y = Neg (x) last = Neg (h)")
    result = rnn_export.optimize(model)
    assert result.model is model
    assert result.loops == ()


def test_names_shapes_and_metadata_stay() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(A_LOOP)
    model.producer_name, model.producer_version, model.domain = "somebody", "3.1", "org.somebody"
    model.model_version, model.doc_string = 7, "what it is for"
    model.metadata_props.add(key="license", value="theirs")
    model.graph.name, model.graph.doc_string = "their net", "the graph"
    model.graph.input[0].doc_string = "their inputs"
    result = rnn_export.optimize(model).model
    assert "GRU" in {node.op_type for node in unguarded(ir.from_proto(result)).graph}
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        assert getattr(result, name) == getattr(model, name)
    assert result.metadata_props == model.metadata_props
    assert result.opset_import == model.opset_import
    for name in ("name", "doc_string", "input", "output"):
        assert getattr(result.graph, name) == getattr(model.graph, name)
    assert not any(node.metadata_props for node in result.graph.node)


@pytest.mark.parametrize("opset", [9, 13, 15, 21])
def test_the_opset_stays_unless_another_is_asked_for(opset: int) -> None:
    model = FOREIGN["a layer of Keras"]
    made = rnn_export.optimize(model, opset=opset).model
    assert [(entry.domain, entry.version) for entry in made.opset_import] == [("", opset)]
    assert made.ir_version >= model.ir_version
    assert_same(model, made)


def test_an_opset_without_an_operator_that_is_needed_is_told() -> None:
    """``Where`` is of opset 9."""
    model = loops.model("e = Equal (x, x) z = Where (e, x, h)" + loops.loop(loops.STEP, "length"))
    result = rnn_export.optimize(model, opset=8)
    assert result.model is model
    assert "it cannot be written for opset 8: " in result.loops[0].left


@pytest.mark.parametrize("opset", [6, 1000])
def test_an_opset_that_is_not_there_is_refused(opset: int) -> None:
    with pytest.raises(OnnxFileError, match=f"opset: expected a number from 7 to .*, got {opset}"):
        rnn_export.optimize(A_LOOP, opset=opset)


def test_an_input_with_a_default_keeps_it() -> None:
    call = loops.CALL.replace("float[B,3] h)", "float[B,3] h, float[3,3] W)")
    model = loops.model(
        loops.loop("x_t = Gather (x, i) p = MatMul (x_t, W) s = Add (p, h_s) h_t = Tanh (s) y_t = Neg (h_t)"),
        call,
    )
    default = np.full((3, 3), 0.25, np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(default, "W"))
    result = rnn_export.optimize(model)
    assert "Loop" not in result.after
    feeds = Program(ir.from_proto(model)).sample(4, 2)
    given, kept = run(model, feeds), run(result.model, feeds)
    np.testing.assert_allclose(kept[0], given[0], atol=1e-6)
    own = feeds.pop("W")
    np.testing.assert_allclose(run(result.model, feeds)[0], run(model, feeds)[0], atol=1e-6)
    assert not np.allclose(own, default)


def test_a_file_that_cannot_be_tried_is_left() -> None:
    unknown = onnx.ModelProto()
    unknown.CopyFrom(A_LOOP)
    unknown.graph.input[1].type.tensor_type.ClearField("shape")
    result = rnn_export.optimize(unknown)
    assert result.model is unknown
    assert "input 'h': expected a tensor of numbers whose rank is known" in result.loops[0].left


def test_a_file_that_fails_on_random_inputs_is_left() -> None:
    outside = "far = Constant <value = int64 {100}> () never = Gather (x, far)"
    call = loops.CALL.replace("last)", "last, float[B,3] never)")
    model = loops.model(loops.loop(loops.STEP) + outside, call)
    result = rnn_export.optimize(model)
    assert result.model is model
    assert result.loops[0].left.startswith("it cannot be run on random inputs of 1 time steps and 1 rows: ")


# --- what is wrong is refused -----------------------------------------------------------------------------


def halved(program: Program) -> Program:
    """Change what a Program computes: all results are halved."""
    program = program.copy()
    graph = program.model.graph
    for place, old in enumerate(list(graph.outputs)):
        half = ir.node("Constant", [], {"value": ir.tensor(np.array(0.5, np.float32))})
        scaled = ir.node("Mul", [old, half.outputs[0]])
        graph.extend([half, scaled])
        scaled.outputs[0].name, old.name = old.name, f"whole_{place}"
        scaled.outputs[0].type, scaled.outputs[0].shape = old.type, old.shape
        graph.outputs[place] = scaled.outputs[0]
    return program


def halve(program: Program) -> bool:
    program.model.graph = halved(program).model.graph
    return True


def test_a_wrong_conversion_is_noticed_and_the_loop_left(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reader.scan_of_loop
    monkeypatch.setattr(reader, "scan_of_loop", lambda program, place: halved(right(program, place)))
    result = rnn_export.optimize(A_LOOP)
    assert result.model is A_LOOP
    assert result.loops[0].left.startswith(
        "as a Scan it does not give the same results: if a state of it grows"
    )


def test_a_wrong_pass_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pipeline, "PASSES", ((Pass("halve", halve), "step"),))
    with pytest.raises(PassError, match="pass halve changed what the Program computes"):
        rnn_export.optimize(A_LOOP, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_differs_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = reader.straighten
    monkeypatch.setattr(reader, "straighten", lambda program: halved(right(program)))
    with pytest.raises(OnnxFileError, match=r"no form \(step.*\) gives in ONNX Runtime what the model gives"):
        rnn_export.optimize(A_LOOP, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_next_form_takes_the_place_of_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pipeline.forms_of
    expected = rnn_export.optimize(A_LOOP).form
    changed: Callable[..., dict[str, Program]] = lambda stages: {  # noqa: E731
        form: halved(program) if form == expected else program for form, program in right(stages).items()
    }
    monkeypatch.setattr(pipeline, "forms_of", changed)
    result = rnn_export.optimize(A_LOOP)
    assert result.form not in ("", expected)
    assert_same(A_LOOP, result.model)


# --- files ------------------------------------------------------------------------------------------------


def test_external_data_is_refused(tmp_path: Path) -> None:
    call = loops.CALL.replace("h)", "h, float[1,3] weight)")
    model = loops.model("y = Add (x, weight) last = Neg (h)", call)
    weight = onnx.numpy_helper.from_array(np.ones((1, 3), np.float32), "weight")
    model.graph.initializer.append(weight)
    onnx.save(
        model, tmp_path / "in.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    with pytest.raises(OnnxFileError, match="expected all tensors inside, got external data"):
        rnn_export.optimize(tmp_path / "in.onnx")


def test_files_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(A_LOOP, tmp_path / "in.onnx")
    monkeypatch.setattr(optimizer, "LARGEST", 100)
    with pytest.raises(OnnxFileError, match="expected at most 2 GB, got"):
        rnn_export.optimize(tmp_path / "in.onnx")


@pytest.mark.parametrize(
    ("content", "message"), [(b"no model", "expected an ONNX model"), (b"", "expected a graph")]
)
def test_what_is_no_model_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "in.onnx").write_bytes(content)
    with pytest.raises(OnnxFileError, match=message):
        rnn_export.optimize(tmp_path / "in.onnx")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OnnxFileError, match=r"in\.onnx cannot be read: No such file"):
        rnn_export.optimize(tmp_path / "in.onnx")


def test_a_file_that_is_there_is_replaced_only_if_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_text("mine")
    with pytest.raises(OnnxFileError, match=r"out\.onnx exists"):
        rnn_export.optimize(A_LOOP, out)
    assert out.read_text() == "mine"
    rnn_export.optimize(A_LOOP, out, overwrite=True)
    assert onnx.load(out).graph.name == A_LOOP.graph.name
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]


@pytest.mark.usefixtures("as_nobody")
def test_a_folder_that_cannot_be_written_is_told() -> None:
    with pytest.raises(OnnxFileError, match=r"/var/out\.onnx cannot be written: .*Permission denied"):
        rnn_export.optimize(A_LOOP, "/var/out.onnx")


def test_the_same_file_gives_the_same_bytes() -> None:
    once, again = (rnn_export.optimize(A_LOOP).model.SerializeToString(deterministic=True) for _ in range(2))
    assert once == again


# --- the command line -------------------------------------------------------------------------------------


def test_the_command_tells_what_it_did(tmp_path: Path) -> None:
    onnx.save(loops.FOLDS["a loop over the list of another, among other things"], tmp_path / "in.onnx")
    arguments = ["optimize", str(tmp_path / "in.onnx"), "--out", str(tmp_path / "out.onnx")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "Loop 'node_7', 1 state: GRU\n" in shown.stdout
    assert "Loop 'node_13', 1 state: Scan\n" in shown.stdout
    assert "Before: " in shown.stdout
    assert "2 Loop" in shown.stdout
    assert "After: 1 Add, " in shown.stdout
    assert "Both give the same in ONNX Runtime, in 5 random calls." in shown.stdout
    again = CliRunner().invoke(app, [*arguments, "--json"])
    assert (again.exit_code, again.stdout) == (1, "")
    assert "exists" in again.stderr
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json", "--overwrite"]).stdout)
    assert [loop["became"] for loop in told["loops"]] == [["GRU"], ["Scan"]]


def test_the_command_tells_why_a_loop_is_left(tmp_path: Path) -> None:
    model, reason = loops.LEFT["no trip count"]
    onnx.save(model, tmp_path / "in.onnx")
    shown = CliRunner().invoke(
        app, ["optimize", str(tmp_path / "in.onnx"), "--out", str(tmp_path / "out.onnx")]
    )
    assert shown.exit_code == 0
    assert f"1 state: left: {reason}" in shown.stdout.replace("\n", " ")
    assert "Nothing was changed" in shown.stdout
    assert "out.onnx, the same model as " in shown.stdout


@pytest.mark.several(8)
@pytest.mark.parametrize("name", loops.FOLDS)
@pytest.mark.parametrize(("time", "batch"), [(0, 2), (3, 0)])
def test_a_call_without_a_time_step_or_a_row_gives_what_it_gave(name: str, time: int, batch: int) -> None:
    given = Program(ir.from_proto(loops.FOLDS[name]))
    feeds = given.sample(time, batch)
    try:
        want = given.run(feeds)
    except Exception:  # what the file could not do, its successor need not do
        return
    got = Program(ir.from_proto(rnn_export.optimize(loops.FOLDS[name]).model)).run(feeds)
    for output, value in want.items():
        if value.size:
            np.testing.assert_array_equal(got[output], value)
        else:  # a Loop over no time steps gives every free size of its results as zero
            assert (got[output].size, got[output].ndim) == (0, value.ndim)
