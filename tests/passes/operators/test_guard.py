"""Operators in their branch: right numbers from each side, for what is not finite and for empty calls too."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from rnn_export.passes.operators.guard import guard, usual
from rnn_export.program.operator_facts import RECURRENT
from rnn_export.program.program import Program

INPUTS, HIDDEN, FLOAT = 3, 4, TensorProto.FLOAT
KINDS = {
    "RNN": ("RNN", {}),
    "RNN, relu": ("RNN", {"activations": ["Relu"]}),
    "RNN, reverse": ("RNN", {"direction": "reverse"}),
    "GRU": ("GRU", {}),
    "GRU, reset behind": ("GRU", {"linear_before_reset": 1}),
    "GRU, bidirectional": ("GRU", {"direction": "bidirectional", "linear_before_reset": 1}),
    "LSTM": ("LSTM", {}),
    "LSTM, reverse": ("LSTM", {"direction": "reverse"}),
    "LSTM, bidirectional": ("LSTM", {"direction": "bidirectional"}),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def program(kind: str, *, lengths: bool = False, bare: bool = False) -> Program:
    """Make a Program of one operator; a bare one has no biases and no initial states."""
    op_type, attributes = KINDS[kind]
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    gates, names = len(RECURRENT[op_type].gates), RECURRENT[op_type].states
    random = np.random.default_rng(0)
    sizes = {"W": (gates * HIDDEN, INPUTS), "R": (gates * HIDDEN, HIDDEN)} | (
        {} if bare else {"B": (2 * gates * HIDDEN,)}
    )
    weights = [
        numpy_helper.from_array((random.standard_normal((directions, *size)) / 2).astype(np.float32), name)
        for name, size in sizes.items()
    ]
    starts = [] if bare else [f"{name}_0" for name in names]
    inputs = ["x", "W", "R", "" if bare else "B", "lengths" if lengths else "", *starts]
    outputs = ["y", *(f"{name}_n" for name in names)]
    node = helper.make_node(op_type, inputs, outputs, hidden_size=HIDDEN, **attributes)
    values = [helper.make_tensor_value_info("x", FLOAT, ["T", "B", INPUTS])]
    values += [helper.make_tensor_value_info(name, FLOAT, [directions, "B", HIDDEN]) for name in starts]
    values += [helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"])] if lengths else []
    results = [
        helper.make_tensor_value_info(name, FLOAT, [*(() if place else ("T",)), directions, "B", HIDDEN])
        for place, name in enumerate(outputs)
    ]
    graph = helper.make_graph([node], "one", values, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return Program(ir.from_proto(model))


def call(given: Program, time: int, batch: int, lengths: list[int] | None = None) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    sizes = {"T": time, "B": batch}
    feeds = {
        str(value.name): random.standard_normal([sizes.get(str(size), size) for size in value.shape]).astype(
            np.float32
        )
        for value in given.model.graph.inputs
        if value.name != "lengths"
    }
    return feeds | ({} if lengths is None else {"lengths": np.array(lengths, np.int32)})


def bent(given: Program) -> Program:
    """Let the other branch run, whatever comes."""
    given = given.copy()
    bound = given.model.graph.initializers["bound"]
    bound.const_value = ir.tensor(np.float32(-1), name="bound")
    return given


def same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=2e-6, err_msg=name)


@each_kind
@pytest.mark.parametrize("lengths", [None, [5, 2, 3]], ids=["full", "ragged"])
def test_both_branches_give_what_the_operator_gives(kind: str, lengths: list[int] | None) -> None:
    given = program(kind, lengths=lengths is not None)
    guarded, feeds = guard(given), call(given, 5, 3, lengths)
    assert [node.op_type for node in usual(guarded.model.graph)][-1] == KINDS[kind][0]
    same(guarded.run(feeds), given.run(feeds))
    same(bent(guarded).run(feeds), given.run(feeds))


@each_kind
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize(("time", "batch"), [(0, 2), (3, 0), (0, 0)])
def test_a_call_without_a_time_step_or_a_row_is_a_call(
    kind: str, lengths: bool, time: int, batch: int
) -> None:
    given = program(kind, lengths=lengths)
    guarded, feeds = guard(given), call(given, time, batch, [min(time, 1)] * batch if lengths else None)
    directions = len(feeds["h_0"])
    starts = [feeds[f"{name}_0"] for name in RECURRENT[KINDS[kind][0]].states]
    found = [[*guarded.run(feeds).values()]]
    if "relu" not in kind:  # which the reference evaluator does not know
        found.append(ReferenceEvaluator(guarded.proto()).run(None, feeds))
    for y, *finals in found:
        assert y.shape == (time, directions, batch, HIDDEN)
        for final, start in zip(finals, starts, strict=True):
            np.testing.assert_array_equal(final, start)


def test_without_initial_states_an_empty_call_ends_with_zeros() -> None:
    given = program("LSTM, bidirectional", bare=True)
    guarded = guard(given)
    for final in [*guarded.run(call(given, 0, 2)).values()][1:]:
        np.testing.assert_array_equal(final, np.zeros((2, 2, HIDDEN), np.float32))
    feeds = call(given, 5, 2)
    same(bent(guarded).run(feeds), given.run(feeds))


@each_kind
@pytest.mark.parametrize("where", ["x", "h_0"])
def test_what_is_no_number_stays_none_in_its_row(kind: str, where: str) -> None:
    given = program(kind)
    guarded, feeds = guard(given), call(given, 5, 3)
    before = guarded.run(feeds)
    feeds[where] = feeds[where].copy()
    feeds[where][-1 if where == "h_0" else 2, 1, 0] = np.nan
    after = guarded.run(feeds)
    assert np.isnan(after["y"][:, :, 1]).any()
    assert np.isnan(after["h_n"][-1, 1]).all()
    for name, value in after.items():
        rows = value.ndim - 2
        others = [np.delete(array, 1, rows) for array in (value, before[name])]
        np.testing.assert_allclose(*others, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "relu" not in kind])
def test_infinity_saturates_as_a_large_number_does(kind: str) -> None:
    given = program(kind)
    guarded, feeds = guard(given), call(given, 5, 3)
    feeds["x"][2, 1, 0] = -1e9
    large = given.run(feeds)
    feeds["x"][2, 1, 0] = -np.inf
    same(guarded.run(feeds), large)
