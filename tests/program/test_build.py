"""What is added to a graph: nodes with shapes and types, constants under names of their own."""

import numpy as np
import onnx_ir as ir

from rnn_export.program.build import Builder, add_constant
from rnn_export.program.values import constant_ints, constant_value, describe, original

X = ir.val("x", ir.DataType.FLOAT, ["B", 3])


def test_a_value_is_like_another_unless_more_is_said() -> None:
    build = Builder()
    bare = build.emit("Neg", [X])
    same = build.emit("Neg", [X], like=X)
    wider = build.emit("Unsqueeze", [X, build.constant([0])], like=X, shape=[1, "B", 3])
    typed = build.emit("Shape", [X], {"start": 1}, type=ir.TensorType(ir.DataType.INT64))
    assert (bare.shape, bare.type) == (None, None)
    assert (same.shape, same.type) == (X.shape, X.type)
    assert (wider.shape, wider.type) == (ir.Shape([1, "B", 3]), X.type)
    assert (typed.shape, typed.dtype) == (None, ir.DataType.INT64)
    assert [node.op_type for node in build.nodes] == ["Neg", "Neg", "Constant", "Unsqueeze", "Shape"]


def test_several_outputs() -> None:
    build = Builder()
    one, two = build.emit_several("Split", [X], {"axis": 1, "num_outputs": 2}, count=2)
    assert one.producer() is two.producer() is build.nodes[0]


def test_constants_are_whole_numbers_or_arrays() -> None:
    build = Builder()
    for numbers, dtype, shape in (
        (3, "int64", ()),
        ([1, 2], "int64", (2,)),
        (np.float32([1]), "float32", (1,)),
    ):
        array = constant_value(build.constant(numbers))
        assert array is not None
        assert (array.dtype, array.shape) == (dtype, shape)


def test_a_copy_has_the_attributes_and_other_inputs() -> None:
    build, other = Builder(), ir.val("other")
    node = ir.node("Softmax", [X], {"axis": 1})
    [copied] = build.copy(node, [other])
    twin = copied.producer()
    assert twin is not None
    assert twin is not node
    assert (twin.inputs, twin.attributes["axis"].as_int()) == ((other,), 1)


def test_initializers_get_names_that_are_free() -> None:
    graph = ir.Graph([], [], nodes=[])
    values = [add_constant(graph, "axis", np.array([number])) for number in range(3)]
    assert len({value.name for value in values}) == 3
    assert list(graph.initializers.values()) == values
    assert [constant_ints(value) for value in values] == [[0], [1], [2]]


def test_what_is_computed_is_no_constant() -> None:
    assert constant_value(None) is None
    assert constant_value(X) is None
    assert constant_ints(ir.node("Neg", [X]).outputs[0]) is None


def test_constants_of_every_kind_are_read() -> None:
    for name, given, want in (
        ("value_int", 3, [3]),
        ("value_ints", [1, 2], [1, 2]),
        ("value_float", 2.0, [2]),
    ):
        assert constant_ints(ir.node("Constant", [], {name: given}).outputs[0]) == want


def test_copies_are_seen_through() -> None:
    one = ir.node("Identity", [X])
    other = ir.node("Identity", one.outputs)
    negative = ir.node("Neg", other.outputs)
    assert original(other.outputs[0]) is X
    assert original(negative.outputs[0]) is negative.outputs[0]


def test_a_value_is_described() -> None:
    value = ir.val("value")
    describe(value, like=X)
    assert (value.shape, value.type) == (X.shape, X.type)
