"""The view of a Scan names what its operands and results are, and changes keep them in step with the body."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from rnn_export.program.program import Program
from rnn_export.program.scan import FORWARD, REVERSED, Scan, count_states, scans

# Two states and two sequences: a running sum, and the product of the other state with a sequence.
TEXT = """
    <ir_version: 8, opset_import: ["" : 18]>
    main (float[B,3] h, float[B,3] c, float[T,B,3] x, float[T,B,3] z)
        => (float[B,3] h_T, float[B,3] c_T, float[T,B,3] y, float[T,B,3] w) {{
        h_T, c_T, y, w = Scan (h, c, x, z) <num_scan_inputs = 2, {attributes} body = step
            (float[B,3] h_s, float[B,3] c_s, float[B,3] x_t, float[B,3] z_t)
            => (float[B,3] h_t, float[B,3] c_t, float[B,3] y_t, float[B,3] w_t) {{
            h_t = Add (h_s, x_t) c_t = Mul (c_s, z_t) y_t = Neg (h_t) {more} }}>
    }}
"""


def program(attributes: str = "", more: str = "w_t = Neg (c_t)") -> Program:
    model = parser.parse_model(TEXT.format(attributes=attributes, more=more))
    return Program(ir.from_proto(model))


def loop(attributes: str = "", more: str = "w_t = Neg (c_t)") -> Scan:
    [scan] = scans(program(attributes, more).model.graph)
    return scan


def names(values: tuple[ir.Value, ...]) -> list[str | None]:
    return [value.name for value in values]


def test_operands_and_results_have_names() -> None:
    scan = loop()
    assert names(scan.initial_states) == ["h", "c"]
    assert names(scan.sequences) == ["x", "z"]
    assert names(scan.final_states) == ["h_T", "c_T"]
    assert names(scan.results) == ["y", "w"]
    assert names(scan.states) == ["h_s", "c_s"]
    assert names(scan.elements) == ["x_t", "z_t"]
    assert names(scan.next_states) == ["h_t", "c_t"]
    assert names(scan.emitted) == ["y_t", "w_t"]


def test_a_node_in_a_file_has_as_many_states() -> None:
    [node] = program().proto().graph.node
    assert count_states(node) == 2


BACKWARD = "scan_input_directions = [1, 1], scan_output_directions = [1, 1],"
IF = """yes = Constant <value = bool {1}> () w_t = If (yes) <
    then_branch = a () => (float[B,3] p) { p = Neg (c_t) },
    else_branch = b () => (float[B,3] q) { q = Abs (c_t) }>"""


@pytest.mark.parametrize(
    ("attributes", "direction", "plain"),
    [
        ("", "forward", True),
        ("scan_input_directions = [0, 0], scan_input_axes = [0, 0],", "forward", True),
        (BACKWARD, "reverse", True),
        ("scan_input_directions = [1, 0],", None, False),
        ("scan_input_directions = [1, 1],", None, False),
        ("scan_output_axes = [0, 1],", "forward", False),
    ],
)
def test_direction_and_axes(attributes: str, direction: str | None, plain: bool) -> None:
    scan = loop(attributes)
    assert (scan.direction, scan.reversed, scan.plain) == (direction, direction == "reverse", plain)


def test_a_body_with_a_branch_is_not_plain() -> None:
    assert not loop(more=IF).plain


def test_what_is_left_out_is_zero() -> None:
    assert loop("scan_output_directions = [1, 0], scan_input_axes = [0, 1],").directions == ([0, 0], [1, 0])
    assert loop("scan_output_directions = [1, 0], scan_input_axes = [0, 1],").axes == ([0, 1], [0, 0])


@pytest.mark.parametrize("attributes", ["", BACKWARD])
def test_a_sequence_more_and_less(attributes: str) -> None:
    given = program(attributes)
    changed = given.copy()
    [scan] = scans(changed.model.graph)
    mask = ir.Value(name="mask", shape=scan.sequences[0].shape, type=scan.sequences[0].type)
    changed.model.graph.inputs.append(mask)
    element = ir.Value(name="mask_t", shape=scan.elements[0].shape, type=scan.elements[0].type)
    scan.append_sequence(mask, element)
    assert names(scan.sequences) == ["x", "z", "mask"]
    assert names(scan.elements) == ["x_t", "z_t", "mask_t"]
    onnx.checker.check_model(changed.proto(), full_check=True)
    assert scan.reversed is bool(attributes)
    scan.remove_sequences([element])
    changed.model.graph.inputs.pop()
    assert changed.proto() == given.proto()


def test_a_direction_is_written_only_where_it_is_not_the_default() -> None:
    scan = loop()
    scan.set_direction(REVERSED)
    assert scan.directions == ([1, 1], [1, 1])
    scan.set_direction(FORWARD)
    assert set(scan.node.attributes) == {"body", "num_scan_inputs"}


def test_axes_are_taken_off() -> None:
    scan = loop("scan_input_axes = [0, 1],")
    assert scan.take_axes() == ([0, 1], [0, 0])
    assert scan.leading


def test_results_are_dropped_with_what_the_body_gives() -> None:
    given = program(BACKWARD)
    changed = given.copy()
    [scan] = scans(changed.model.graph)
    smaller = scan.with_results([1])
    assert names(smaller.emitted) == ["w_t"]
    assert names(smaller.initial_states) == ["h", "c"]
    assert smaller.directions == ([1, 1], [1])
    assert len(smaller.results) == 1


def test_other_initial_states() -> None:
    scan = loop()
    other = ir.Value(name="other")
    again = scan.with_initial_states([other, *scan.initial_states])
    assert names(again.initial_states) == ["other", "h", "c"]
    assert len(again.node.outputs) == len(scan.node.outputs) + 1


def test_a_loop_is_built() -> None:
    given = program(BACKWARD)
    changed = given.copy()
    graph = changed.model.graph
    [scan] = scans(graph)
    nodes, inputs, outputs = list(scan.body), list(scan.body.inputs), list(scan.body.outputs)
    scan.body.outputs.clear()
    scan.body.inputs.clear()
    scan.body.remove(nodes)
    body = ir.Graph(inputs, outputs, nodes=nodes, name="step")
    built = Scan.build(body, scan.initial_states, scan.sequences, [1, 1], [1, 1], name=scan.node.name)
    ir.convenience.replace_nodes_and_values(
        graph, scan.node, [scan.node], [built.node], scan.node.outputs, built.node.outputs
    )
    feeds = given.sample(4, 2)
    for got, want in zip(changed.run(feeds).values(), given.run(feeds).values(), strict=True):
        np.testing.assert_array_equal(got, want)
