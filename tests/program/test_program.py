"""A copy of a Program is the same model and shares nothing that changes."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from rnn_export.program.program import Program, name_apart
from rnn_export.program.session import run_here, running
from tests.support import loops

MODEL = parser.parse_model(
    """
    <ir_version: 8, opset_import: ["" : 18], producer_name: "someone", model_version: 3,
     metadata_props: ["key": "value"], doc_string: "a net">
    main (float[T,B,3] x, float[B,3] h) => (float[B,3] h_T, float[T,B,3] y)
        <float[3,3] W = {1, 2, 3, 4, 5, 6, 7, 8, 9}> {
        h_T, y = Scan (h, x) <num_scan_inputs = 1, body = step (float[B,3] h_s, float[B,3] x_t)
            => (float[B,3] h_t, float[B,3] y_t) {
            p = MatMul (x_t, W) s = Add (p, h_s) h_t = Tanh (s) y_t = Identity (h_t) }>
    }
    """
)


def program() -> Program:
    model = ir.from_proto(MODEL)
    model.graph[0].metadata_props["mark"] = "0"
    model.graph.metadata_props["of the graph"] = "1"
    return Program(model)


@pytest.mark.parametrize("make", [program, lambda: Program(ir.from_proto(loops.FOLDS["a branch inside"]))])
def test_a_copy_is_the_same_model(make) -> None:
    given = make()
    before = given.proto().SerializeToString(deterministic=True)
    assert given.copy().proto().SerializeToString(deterministic=True) == before


def test_a_copy_shares_neither_nodes_nor_values() -> None:
    one = program()
    other = one.copy()

    def parts(given: Program) -> set[object]:
        graphs = list(given.model.graphs())
        nodes = [node for graph in graphs for node in graph]
        values = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
        return {*graphs, *nodes, *values, *(value for node in nodes for value in node.outputs)}

    assert not parts(one) & parts(other)
    assert not {value for node in other.model.graph for value in node.inputs} & parts(one)


def test_changes_of_a_copy_stay_there() -> None:
    one = program()
    before = one.proto().SerializeToString(deterministic=True)
    other = one.copy()
    for graph in other.model.graphs():
        graph.metadata_props["of the graph"] = "2"
        for node in graph:
            node.name, node.outputs[0].name = f"other/{node.name}", f"other/{node.outputs[0].name}"
            node.metadata_props["mark"] = "2"
            node.attributes["more"] = ir.AttrInt64("more", 1)
            node.outputs[0].shape = ir.Shape([1])
    other.model.metadata_props["key"] = "other"
    other.model.opset_imports["custom"] = 1
    assert one.proto().SerializeToString(deterministic=True) == before


def test_a_name_of_an_initializer_in_a_body_is_given_to_no_node() -> None:
    """As constants have it that were folded there."""
    text = """
        <ir_version: 8, opset_import: ["" : 18]>
        main (float[B,3] h, float[T,B,3] x) => (float[B,3] last) {
            last = Scan (h, x) <num_scan_inputs = 1, body = step (float[B,3] a, float[B,3] b)
                => (float[B,3] d) <float[1] Add_3 = {2}> { c = Add (a, b) d = Mul (c, Add_3) }>
        }
    """
    program = Program(ir.from_proto(parser.parse_model(text)))
    feeds = program.sample(2, 3)
    before = program.run(feeds)
    name_apart(program.model)
    np.testing.assert_array_equal(program.run(feeds)["last"], before["last"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_heavy_weights_are_handed_over_beside_a_model_that_is_run(dtype) -> None:
    """A large net is run after every pass: its weights are not written into a model each time."""
    W = np.random.default_rng(0).standard_normal((200, 200)).astype(dtype)
    model = parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 18]>
        main (float[B,200] x) => (float[B,200] y)  { p = MatMul (x, W) y = Tanh (p) }
        """.replace("float[", "double[" if dtype == "float64" else "float[")
    )
    model.graph.initializer.append(numpy_helper.from_array(W, "W"))
    program, lengths = Program(ir.from_proto(model)), []

    def run(model, feeds, outputs):
        lengths.append(len(model))
        return run_here(model, feeds, outputs)

    feeds = {"x": np.ones((3, 200), dtype)}
    with running(run):
        result = program.run(feeds)["y"]
    [expected] = run_here(model.SerializeToString(), feeds, ["y"])
    np.testing.assert_allclose(result, expected, atol=1e-4)
    assert max(lengths) < W.nbytes / 8
    assert list(program.model.graph.initializers) == ["W"]
