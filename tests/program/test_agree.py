"""Two Programs are compared on calls that say something."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from rnn_export.program.agree import CALLS, Known, agree
from rnn_export.program.program import Program

FLOAT = onnx.TensorProto.FLOAT


def program(first: str, then: str) -> Program:
    """Make ``y = then(first(x))``."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(first, ["x"], ["z"]), onnx.helper.make_node(then, ["z"], ["y"])],
        "net",
        [onnx.helper.make_tensor_value_info("x", FLOAT, ["time", "batch"])],
        [onnx.helper.make_tensor_value_info("y", FLOAT, ["time", "batch"])],
    )
    opset = onnx.helper.make_opsetid("", 18)
    return Program(ir.from_proto(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)))


@pytest.mark.parametrize("first", ["Log", "Sqrt", "Tanh"])
def test_what_follows_a_logarithm_is_compared(first: str) -> None:
    assert agree(program(first, "Sin"), program(first, "Sin"))
    assert not agree(program(first, "Sin"), program(first, "Cos"))


def test_where_every_call_gives_nan_it_has_to_be_in_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Program, "sample", lambda *_: {"x": np.full((1, 1), np.nan, np.float32)})
    assert agree(program("Log", "Sin"), program("Log", "Cos"))


def test_where_one_of_two_swallows_nan_both_are_compared_on_numbers() -> None:
    text = """<ir_version: 8, opset_import: ["": 18]> net (float[time, batch] x) => (float[time, batch] y)
        <float zero = {0.0}> { z = Log(x) w = THEN(z) nan = IsNaN(z) y = Where(nan, zero, w) }"""
    swallows, wrong = (
        Program(ir.from_proto(onnx.parser.parse_model(text.replace("THEN", then)))) for then in ("Sin", "Cos")
    )
    assert agree(swallows, program("Log", "Sin"))
    assert agree(program("Log", "Sin"), swallows)
    assert not agree(wrong, program("Log", "Sin"))


def test_a_program_that_was_run_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ran, run = list[Program](), Program.run
    monkeypatch.setattr(Program, "run", lambda self, feeds: ran.append(self) or run(self, feeds))
    one, two, three, wrong = (program("Tanh", then) for then in ("Sin", "Sin", "Sin", "Cos"))
    known: Known = {}
    assert agree(one, two, known=known)
    assert agree(two, three, known=known)
    assert [sum(each is other for other in ran) for each in (one, two, three)] == [len(CALLS)] * 3
    assert not agree(three, wrong, known=known)
    assert not agree(one, wrong, known=known)


def test_a_program_that_was_run_on_other_numbers_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes lengths is run on full rows when it comes second, and on any when it comes first."""
    one, two, three = (program("Tanh", "Sin") for _ in range(3))
    known: Known = {}
    assert agree(one, two, known=known)
    draw = Program.sample
    monkeypatch.setattr(
        Program, "sample", lambda *given: {name: 2 * drawn for name, drawn in draw(*given).items()}
    )
    assert agree(two, three, known=known)
