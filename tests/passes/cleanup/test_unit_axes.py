"""Axes of size one go wherever an operator can do without them, and stay where they matter."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser

from rnn_export.passes.cleanup.constant_folding import fold_constants
from rnn_export.passes.cleanup.simplify import simplify
from rnn_export.passes.cleanup.unit_axes import remove_unit_axes
from rnn_export.passes.time.last_step import last_step
from rnn_export.program.operator_facts import int_of
from rnn_export.program.program import Program, run_model
from rnn_export.signature.signature import Signature
from rnn_export.signature.tensors import InputSpec, OutputSpec

SIGNATURE = Signature(
    (InputSpec("x", "float32", ("time", 3)),), (), (OutputSpec("y", "float32", ("time", 3)),), ""
)
HEAD = '<ir_version: 8, opset_import: ["" : 18]> main (float[T, 3] x) => (float{shape} y) <'
NUMBERS = (
    "int64[1] nought = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] three = {3}, "
    "int64[2] both = {0, 2}, int64 none = {0}, int64 first = {1}, int64 end = {-1}, "
    "float[3] b = {1, 2, 3}, float[3, 1] row = {3, 1, 2}, float[1, 3] line = {3, 1, 2}, float low = {0}, "
    "float[3, 3] W = {1, 2, 3, 4, 5, 6, 7, 8, 9}, int64[2] pair = {1, 1}, int64[3] three_d = {-1, 1, 3}, "
    "int64[2] two_d = {-1, 3}, int64[3] wide = {1, 1, 3}, int64[2] sizes = {1, 2}, int64[2] most = {1, 3}> "
)


def run(text: str, shape: str, passes: list) -> Program:
    """Run passes over a model, and check that it computes what it did."""
    proto = parser.parse_model(HEAD.format(shape=shape) + NUMBERS + "{" + text + "}")
    program = Program(ir.passes.common.ShapeInferencePass()(ir.from_proto(proto)).model, SIGNATURE)
    for run_pass in passes:
        program = run_pass(program)
    after = program.proto()
    feeds = {"x": np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)}
    [got], [want] = run_model(after, feeds, ["y"]), run_model(proto, feeds, ["y"])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    return program


def names(program: Program) -> list[str]:
    return [node.op_type for node in program.model.graph]


def squeezed(text: str, shape: str = "[T, 3]") -> list[str]:
    return names(run(text, shape, [fold_constants, remove_unit_axes, simplify, fold_constants]))


U = "u = Unsqueeze(x, {}) "
GONE = {
    "arithmetic": ("one", "v = Add(u, b) w = Relu(v) y = Squeeze(w, one)", ["Add", "Relu"]),
    "two axes": (
        "one",
        "t = Unsqueeze(u, three) s = Neg(t) r = Squeeze(s, one) y = Squeeze(r, two)",
        ["Neg"],
    ),
    "two axes at once": ("both", "v = Mul(u, low) y = Squeeze(v, both)", ["Mul"]),
    "broadcast along another": ("one", "v = Add(u, line) y = Squeeze(v, one)", ["Add"]),
    "another axis": ("nought", "v = Transpose <perm = [1, 0, 2]> (u) y = Squeeze(v, one)", ["Identity"]),
    "turned": ("one", "v = Transpose <perm = [1, 0, 2]> (u) w = Neg(v) y = Squeeze(w, nought)", ["Neg"]),
    "rows of a product": ("one", "v = MatMul(u, W) y = Squeeze(v, one)", ["MatMul"]),
    "batch of a product": ("nought", "v = MatMul(u, W) y = Squeeze(v, nought)", ["MatMul"]),
    "cumulated": ("one", "v = CumSum(u, one) y = Squeeze(v, one)", ["Identity"]),
    "cumulated along another": ("one", "v = CumSum(u, two) y = Squeeze(v, one)", ["CumSum"]),
    "summed": ("one", "v = ReduceSum(u, one) y = Squeeze(v, one)", ["Identity"]),
    "summed along another": (
        "one",
        "v = ReduceSum(u, two) w = Mul(u, v) y = Squeeze(w, one)",
        ["ReduceSum", "Mul"],
    ),
    "summed away": (
        "one",
        "v = ReduceMax <keepdims = 0> (u, two) w = Squeeze(v, one) z = Unsqueeze(w, one) y = Add(x, z)",
        ["ReduceMax", "Unsqueeze", "Add"],
    ),
    "softmax": ("nought", "v = Softmax(u) y = Squeeze(v, nought)", ["Softmax"]),
    "layer norm": ("one", "v = LayerNormalization(u, b) y = Squeeze(v, one)", ["LayerNormalization"]),
    "cut along it": ("one", "v = Slice(u, nought, one, one) y = Squeeze(v, one)", ["Identity"]),
    "cut along another": (
        "one",
        "v = Slice(u, nought, two, two) w = ReduceSum(v, two) z = Squeeze(w, one) y = Add(z, x)",
        ["Slice", "ReduceSum", "Add"],
    ),
    "split and joined": (
        "one",
        "p, q = Split <axis = 2> (u, sizes) v = Concat <axis = -1> (q, p) y = Squeeze(v, one)",
        ["Split", "Concat"],
    ),
    "picked": ("one", "v = Gather <axis = 1> (u, end) y = Neg(v)", ["Neg"]),
    "looked up": (
        "one",
        "k = Greater(u, low) i = Cast <to = 7> (k) v = Gather(b, i) y = Squeeze(v, one)",
        ["Greater", "Cast", "Gather"],
    ),
    "reshaped there": ("one", "v = Neg(u) y = Reshape(v, two_d)", ["Neg"]),
    "reshaped here": ("one", "t = Reshape(x, three_d) v = Add(u, t) y = Squeeze(v, one)", ["Reshape", "Add"]),
    "expanded": ("one", "v = Expand(u, wide) y = Squeeze(v, one)", ["Identity"]),
    "chosen": (
        "one",
        "k = Greater(u, low) v = Where(k, u, low) y = Squeeze(v, one)",
        ["Greater", "Where"],
    ),
}
STAYS = {
    "broadcast along it": ("one", "v = Add(u, row) w = ReduceSum(v, one) y = Squeeze(w, one)"),
    "softmax along it": ("one", "v = Softmax <axis = 1> (u) y = Squeeze(v, one)"),
    "exclusive sum": ("one", "v = CumSum <exclusive = 1> (u, one) y = Squeeze(v, one)"),
    "norm over it": ("one", "v = LayerNormalization <axis = 1> (u, line) y = Squeeze(v, one)"),
    "a norm of one number": ("one", "v = ReduceL2(u, one) y = Squeeze(v, one)"),
}


@pytest.mark.parametrize(("axis", "text", "left"), GONE.values(), ids=GONE.keys())
def test_an_axis_that_is_added_and_dropped_is_left_out(axis: str, text: str, left: list[str]) -> None:
    assert squeezed(U.format(axis) + text) == left


@pytest.mark.parametrize(("axis", "text"), STAYS.values(), ids=STAYS.keys())
def test_an_axis_that_matters_stays(axis: str, text: str) -> None:
    assert {"Unsqueeze", "Squeeze"} <= set(squeezed(U.format(axis) + text))


# a norm along an axis of size one keeps it
JOINED = {
    "dropped one by one": (
        "m = Unsqueeze(x, both) r = ReduceL2(m, both) v = Squeeze(r, nought) w = Squeeze(v, one) "
        "y = Add(w, x)",
        ["Unsqueeze", "ReduceL2", "Squeeze", "Add"],
    ),
    "dropped beside another that was added": (
        "m = Unsqueeze(x, two) r = ReduceL2(m, two) v = Unsqueeze(r, nought) w = Squeeze(v, three) "
        "z = Squeeze(w, nought) y = Add(z, x)",
        ["Unsqueeze", "ReduceL2", "Squeeze", "Add"],
    ),
    "dropped in part, and read by others": (
        "m = Unsqueeze(x, both) r = ReduceL2(m, both) v = Squeeze(r, nought) w = Squeeze(v, one) "
        "q = ReduceL2(v, one) z = Squeeze(q, one) y = Add(w, z)",
        ["Unsqueeze", "ReduceL2", "Squeeze", "Squeeze", "ReduceL2", "Squeeze", "Add"],
    ),
}


@pytest.mark.parametrize(("text", "left"), JOINED.values(), ids=JOINED.keys())
def test_neighbours_that_drop_or_add_axes_become_one(text: str, left: list[str]) -> None:
    assert squeezed(text) == left


def test_who_else_reads_the_axis_gets_it_back() -> None:
    text = "v = Neg(u) w = Squeeze(v, one) z = Softmax <axis = 1> (v) s = Squeeze(z, one) y = Add(w, s)"
    assert squeezed(U.format("one") + text) == ["Neg", "Unsqueeze", "Softmax", "Squeeze", "Add"]


# --- one entry of many ------------------------------------------------------------------------------------


def picked(text: str) -> list[str]:
    return names(picked_program(text))


def picked_program(text: str) -> Program:
    return run(text, "[M]", [fold_constants, last_step, simplify, fold_constants])


ROWS = {
    "a layer": (
        "u = Unsqueeze(x, one) p = MatMul(u, W) a = Add(p, b) g = Gather(a, end) z = Squeeze(g, nought)",
        ["Gather", "MatMul", "Add"],
    ),
    "any entry": ("a = Relu(x) z = Gather(a, first)", ["Gather", "Relu"]),
    "norms": (
        "a = LayerNormalization(x, b) s = Softmax(a) z = Gather(s, end)",
        ["Gather", "LayerNormalization", "Softmax"],
    ),
    "two operands": (
        "e = Exp(x) a = Add(x, e) c = Mul(a, line) z = Gather(c, end)",
        ["Gather", "Exp", "Add", "Mul"],
    ),
    "an axis": ("u = Unsqueeze(x, one) n = Neg(u) q = Squeeze(n, one) z = Gather(q, end)", ["Gather", "Neg"]),
}


@pytest.mark.parametrize(("text", "left"), ROWS.values(), ids=ROWS.keys())
def test_one_row_is_computed_where_one_is_read(text: str, left: list[str]) -> None:
    found = picked(text + " y = Identity(z)")
    assert sorted(set(found) - {"Unsqueeze", "Squeeze"}) == sorted(left)
    assert found.index("Gather") < min(found.index(name) for name in left if name != "Gather")


def test_of_two_entries_the_one_along_the_first_axis_is_picked_first() -> None:
    text = "a = Gather <axis = 1> (x, first) g = Gather(a, end) z = Unsqueeze(g, nought)"
    program = picked_program(text + " y = Identity(z)")
    assert [int_of(node, "axis") for node in program.model.graph if node.op_type == "Gather"] == [0, 0]


WHOLE = {
    "softmax over rows": "a = Softmax <axis = 0> (x) z = Gather(a, end)",
    "sums over rows": "a = CumSum(x, nought) z = Gather(a, end)",
    "read elsewhere": "a = Exp(x) m = ReduceMean <keepdims = 0> (a) g = Gather(a, end) z = Mul(g, m)",
    "several rows": "a = Exp(x) g = Gather(a, sizes) z = ReduceMax <keepdims = 0> (g, nought)",
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE.keys())
def test_all_rows_are_computed_where_they_matter(text: str) -> None:
    found = picked(text + " y = Identity(z)")
    assert found.index("Gather") > found.index(next(name for name in found if name != "Gather"))
