"""The picture of the step: what is drawn, where it stands, and which way the state goes."""

import itertools

import onnx
import pytest

from rnn_export.report import graph, picture
from rnn_export.report.layout import Edge, arrange
from rnn_export.report.picture import Box, draw
from tests.support.cases import CALL_CASES, CASES, CallCase, ModelCase, the
from tests.support.exports import Exported
from tests.support.report_pages import page_of

DRAWN = [case for case in CASES if case.name not in ("notebook", "lstm_float64")] + CALL_CASES[-4:]


def crossing(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def on_path(step: picture.StepGraph) -> list[str]:
    assert step.picture is not None
    return sorted(box.node.title for box in step.picture.boxes if box.node.on_path)


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_nothing_covers_anything(case: ModelCase | CallCase, exported: Exported) -> None:
    step = draw(exported(case))
    drawn = step.picture
    assert drawn is not None
    assert not [pair for pair in itertools.combinations(drawn.boxes, 2) if crossing(*pair)]
    assert not [pair for pair in itertools.combinations(drawn.frames, 2) if crossing(*pair)]
    for box in drawn.boxes:
        assert 0 <= box.x < box.x + box.width <= drawn.width + 0.1
        assert 0 <= box.y < box.y + box.height <= drawn.height + 0.1
    for line in drawn.lines:
        falls = [after[1] - before[1] for before, after in itertools.pairwise(line.points)]
        assert line.back or min(falls) >= 0
        assert all(-0.1 <= x <= drawn.width + 0.1 for x, _ in line.points)


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_each_state_leads_back_to_the_next_time_step(case: ModelCase | CallCase, exported: Exported) -> None:
    bundle = exported(case)
    step = draw(bundle)
    assert step.picture is not None
    states = {box.node.title for box in step.picture.boxes if box.node.kind == "state"}
    assert {leaf.name for leaf in bundle.signature.state} <= states
    if bundle.signature.streamable:
        assert {leaf.output_name for leaf in bundle.signature.state} <= states
    if step.picture.frames:
        back = [line for line in step.picture.lines if line.back]
        bodies = [box.node.body for box in step.picture.frames]
        assert len(back) == sum(len(body.states) for body in bodies if body)
        assert bool(back) == bool(bundle.signature.state)


def test_the_way_of_the_state_through_a_plain_net(exported: Exported) -> None:
    """The input projection and the output layer lie beside it."""
    step = draw(exported(the("rnn")))
    assert step.file == "variants/scan.onnx"
    assert on_path(step) == ["Gemm", "Tanh", "state_0", "state_0", "state_0", "state_0_out"]
    assert step.operators == 7
    assert step.picture is not None
    aside = [box.node for box in step.picture.boxes if box.node.kind == "operator" and not box.node.on_path]
    assert [node.title for node in aside] == ["MatMul", "Add", "MatMul", "Add"]
    assert aside[0].details == ("W_xh [4, 6]", "→ [T, B, 6]")


def test_loops_say_which_way_they_run(exported: Exported) -> None:
    step = draw(exported(the("bidirectional")))
    assert step.picture is not None
    ways = [box.node.details[0] for box in step.picture.frames]
    assert sorted(ways) == ["every step", "every step, backwards"]


@pytest.mark.parametrize("case", DRAWN, ids=lambda case: case.name)
def test_no_line_crosses_a_caption_and_none_leaves_its_loop(
    case: ModelCase | CallCase, exported: Exported
) -> None:
    drawn = draw(exported(case)).picture
    assert drawn is not None
    for frame in drawn.frames:
        ends = frame.caption + picture.NAME * len(f"{frame.node.title}: {frame.node.details[0]}")
        assert frame.x < frame.caption < ends < frame.x + frame.width
        text = frame.y + picture.HEADER / 2
        pieces = [piece for line in drawn.lines for piece in itertools.pairwise(line.points)]
        crossing = [x for (x, y), (to_x, to_y) in pieces if min(y, to_y) < text < max(y, to_y) and x == to_x]
        assert not [x for x in crossing if frame.caption < x < ends]


def test_the_layers_of_a_stack_are_loops_one_above_the_other(exported: Exported) -> None:
    step = draw(exported(the("deep_rnn")))
    assert step.picture is not None
    upper, lower = sorted(step.picture.frames, key=lambda box: box.y)
    assert upper.y + upper.height < lower.y
    page = page_of(exported(the("deep_rnn")))
    assert len(page.all("rect", class_="frame")) == 2
    assert len(page.all("path", class_="back")) == 2


def test_too_many_operators_are_counted_and_not_drawn(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = exported(the("lstm"))
    whole = draw(bundle)
    monkeypatch.setattr(picture, "CROWDED", whole.operators - 1)
    collapsed = draw(bundle)
    assert collapsed.collapsed
    assert collapsed.picture is not None
    assert not collapsed.picture.frames
    assert any(
        box.node.title == "Scan" and box.node.details[0].endswith(" operators")
        for box in collapsed.picture.boxes
    )
    assert collapsed.operators == whole.operators
    monkeypatch.setattr(picture, "CROWDED", 3)
    assert draw(bundle).picture is None


def test_a_long_edge_goes_around_what_it_passes() -> None:
    edges = [Edge("a", "b", 10, 10), Edge("b", "c", 10, 10), Edge("a", "c", 15, 15)]
    placed = arrange(dict.fromkeys("abc", (20.0, 10.0)), edges)
    x, y = placed.corners["b"]
    passing = [at for at, down in placed.routes[2] if y <= down <= y + 10]
    assert passing
    assert all(at <= x or at >= x + 20 for at in passing)


def test_a_size_that_shape_inference_named_is_a_question_mark() -> None:
    info = onnx.helper.make_tensor_value_info(
        "x", onnx.TensorProto.FLOAT, ["unk__0", "time", "memory_length", 3]
    )
    assert graph._shape(info) == "[?, T, memory_length, 3]"
