"""The facts about operators are those of ONNX's schemas, where the schemas have them."""

import onnx.defs
import onnx_ir as ir
import pytest

from rnn_export.program.operator_facts import (
    ELEMENTWISE,
    RECURRENT,
    RECURRENT_INPUTS,
    SEQUENCE_LENS,
    default_of,
    float_of,
    int_of,
    text_of,
)
from rnn_export.program.program import OPSET

X = ir.val("x")


def test_every_elementwise_operator_exists() -> None:
    for name in ELEMENTWISE:
        assert onnx.defs.get_schema(name, OPSET, "").outputs[0].name


@pytest.mark.parametrize("op_type", RECURRENT)
def test_recurrent_operators_are_those_of_the_schemas(op_type: str) -> None:
    schema, facts = onnx.defs.get_schema(op_type, OPSET, ""), RECURRENT[op_type]
    inputs = [value.name for value in schema.inputs]
    assert list(RECURRENT_INPUTS[: len(inputs)]) == inputs
    assert inputs[SEQUENCE_LENS] == "sequence_lens"
    assert [name for name in inputs if name.startswith("initial")] == [f"initial_{s}" for s in facts.states]
    assert [value.name for value in schema.outputs] == ["Y", *(f"Y_{state}" for state in facts.states)]
    gates = {"i": "`Wi`", "zrh": "W[zrh]", "iofc": "W[iofc]"}[facts.gates]
    assert gates in str(schema.inputs[1].description)


def test_an_attribute_that_is_left_out_has_its_default() -> None:
    assert int_of(ir.node("Softmax", [X]), "axis") == -1
    assert int_of(ir.node("Softmax", [X], {"axis": 0}), "axis") == 0
    assert float_of(ir.node("Gemm", [X, X]), "alpha") == 1.0
    assert float_of(ir.node("Gemm", [X, X], {"alpha": 0.5}), "alpha") == 0.5
    assert text_of(ir.node("GRU", [X, X, X]), "direction") == "forward"
    assert text_of(ir.node("GRU", [X, X, X], {"direction": "reverse"}), "direction") == "reverse"
    assert default_of("Shape", "end") is None
