"""A pass says whether it changed anything, and is held to what it requires and ensures."""

import re
from dataclasses import replace

import onnx_ir as ir
import pytest
from onnx import parser

from rnn_export.errors import PassError
from rnn_export.passes import pipeline
from rnn_export.passes.cleanup.products import products
from rnn_export.passes.contract import (
    CONSTANTS_OUTSIDE,
    DISTINCT_OUTPUTS,
    TURNS,
    Pass,
    Property,
    rewriting,
    settle,
)
from rnn_export.passes.time.distribute import ONE_RECURRENCE
from rnn_export.program.agree import agree
from rnn_export.program.program import Program, name_apart
from tests.support.cases import FOLDS, ModelCase, each_fold
from tests.support.stages import FUSED, form, stages

NEVER = Property("nothing is as it was", lambda program: False)


def program(text: str) -> Program:
    head = '<ir_version: 8, opset_import: ["" : 18]> main (float[B,3] x) => (float[B,3] y, float[B,3] z)'
    weights = "<float[3,3] W = {1,2,3,4,5,6,7,8,9}, float[3,3] V = {9,8,7,6,5,4,3,2,1}>"
    model = ir.from_proto(parser.parse_model(f"{head} {weights} {{ {text} }}"))
    return Program(ir.passes.common.ShapeInferencePass()(model).model)


def test_a_pass_is_called_like_its_module() -> None:
    assert products.name == "products"
    assert {each.name for each, _ in pipeline.PASSES} == {
        "constant_folding",
        "simplify",
        "unit_axes",
        "layers",
        "lengths",
        "regroup",
        "distribute",
        "last_step",
        "products",
        "recognize",
        "guard",
        "rnn_as_gru",
    }


def test_a_program_that_is_not_changed_is_the_same_one() -> None:
    given = form(FUSED, "scan")
    assert rewriting()(lambda program: False)(given) is given


def test_a_program_that_is_changed_leaves_the_one_that_came() -> None:
    given = form(FUSED, "scan")
    before = given.proto()

    @rewriting()
    def rename(program: Program) -> bool:
        program.model.graph.name = "other"
        return True

    assert rename(given).model.graph.name == "other"
    assert given.proto() == before


@pytest.mark.parametrize(
    ("broken", "when"),
    [
        (Pass("broken", lambda program: False, requires=(NEVER,)), "before"),
        (Pass("broken", lambda program: False, ensures=(NEVER,)), "after"),
    ],
)
def test_a_property_that_does_not_hold_is_named(broken: Pass, when: str) -> None:
    expected = f"{when} pass broken: expected a Program in which nothing is as it was, got another."
    with pytest.raises(PassError, match=f"^{re.escape(expected)} Please report it.$"):
        broken(form(FUSED, "scan"))


def test_no_pass_may_change_what_comes_in_and_goes_out() -> None:
    @rewriting()
    def swap(program: Program) -> bool:
        program.model.graph.outputs.reverse()
        return True

    given = form(FUSED, "scan")
    with pytest.raises(PassError, match="inputs and outputs are those of the signature, in its order"):
        swap(given)
    assert swap(replace(given, signature=None)).model.graph.outputs


@each_fold
def test_what_is_said_to_be_unchanged_is(case: ModelCase) -> None:
    before = stages(case)[0].program
    for (each, _), stage in zip(pipeline.PASSES, stages(case)[1:], strict=True):
        again = before.copy()
        if not each.rewrite(again):
            name_apart(again.model)
            assert again.proto() == before.proto(), stage.name
            assert not stage.changed
            assert stage.program is before
        before = stage.program


@each_fold
def test_a_pass_finds_nothing_left_to_clean_up_after_itself(case: ModelCase) -> None:
    for (each, _), stage in zip(pipeline.PASSES, stages(case)[1:], strict=True):
        if each.name in ("constant_folding", "simplify", "unit_axes", "layers", "last_step", "rnn_as_gru"):
            assert each(stage.program) is stage.program, stage.name


@each_fold
def test_later_passes_leave_earlier_programs(case: ModelCase) -> None:
    for stage in stages(case):
        graph = stage.program.model.graph
        assert [value.const_value.name for value in graph.initializers.values()] == list(graph.initializers)


def test_constants_and_outputs_are_looked_at_inside_of_loops_too() -> None:
    given = program("""
        r = Identity (W)
        y, z = Scan (x, r) <num_scan_inputs = 1, body = step (float[B,3] s, float[3] e)
            => (float[B,3] t, float[B,3] t) { two = Constant <value = float {2.0}> () t = Mul (s, two) }>
    """)
    assert not CONSTANTS_OUTSIDE.holds(given)
    assert not DISTINCT_OUTPUTS.holds(given)


def test_a_loop_that_holds_more_than_its_recurrence_is_seen() -> None:
    case = next(case for case in FOLDS if case.name == "gru")
    assert not ONE_RECURRENCE.holds(form(case, "step"))
    assert ONE_RECURRENCE.holds(form(case, "scan"))


def test_products_of_products_are_merged_one_after_the_other() -> None:
    text = """
        a = MatMul (x, W) b = MatMul (x, V) c = MatMul (a, W) d = MatMul (a, V)
        y = Add (c, b) z = Add (d, b)
    """
    given = program(text)
    merged = products(given)
    assert [node.op_type for node in merged.model.graph].count("MatMul") == 2
    assert agree(given, merged)


def test_a_rewriting_that_is_repeated_ends() -> None:
    turns = iter([True, True, False, True])
    assert settle(lambda: next(turns))
    assert list(turns) == [True]
    assert not settle(lambda: False)
    counted: list[int] = []
    assert settle(lambda: not counted.append(1), 2 * TURNS)  # type: ignore[func-returns-value]
    assert len(counted) == 2 * TURNS
