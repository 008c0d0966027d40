"""Every pass leaves the Program what it was; loops hold recurrences alone; cells become operators."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from rnn_export import exporter, grid, passes
from rnn_export.errors import PassError
from rnn_export.frontends import step
from rnn_export.passes import fuse as fuse_pass
from rnn_export.passes import gate as gate_pass
from rnn_export.passes.agree import agree
from rnn_export.passes.choose import OPERATORS, rank
from rnn_export.passes.distribute import recurrent_nodes
from rnn_export.program import IR_VERSION, OPSET, Program, run_model
from rnn_export.runtimes import eager
from rnn_export.subject import Subject, examine
from tests.cases import WAYS, ModelCase, Way
from tests.test_step import FOLDS, each_fold

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")  # said by torch.nn itself

STAGES: dict[str, list[passes.Stage]] = {}


def stages(case: ModelCase) -> list[passes.Stage]:
    if case.name not in STAGES:
        STAGES[case.name] = passes.optimize(step.capture(examine(*case.build())))
    return STAGES[case.name]


def form(case: ModelCase, name: str) -> Program:
    return next(stage.program for stage in stages(case) if stage.form == name)


def operators(program: Program) -> list[str]:
    return [node.op_type for node in program.model.graph]


@each_fold
def test_every_stage_is_the_module(case: ModelCase) -> None:
    subject = examine(*case.build())
    reference = eager.start(subject, torch.float64)
    draw = grid.Draw(subject, reference)
    inputs, state = draw.inputs(11, 5), draw.state(5)
    feeds = dict(zip(subject.signature.input_names, (inputs, *state), strict=True))
    want = reference(inputs, *state)
    for stage in stages(case):
        onnx.checker.check_model(stage.program.proto(), full_check=True)
        for got, expected in zip(stage.program.run(feeds).values(), want, strict=True):
            np.testing.assert_allclose(got, expected, atol=2e-6, rtol=1e-5, err_msg=stage.name)


def off_cycle(scan: ir.Node) -> set[ir.Node]:
    """Give the nodes of a loop that lie on no cycle through its state.

    Copies that make the outputs of the body distinct, as ONNX Runtime needs them, do not count.
    """
    body = scan.attributes["body"].as_graph()
    copies = {node for node in body if node.op_type == "Identity" and node.outputs[0].is_graph_output()}
    return set(body) - copies - recurrent_nodes(scan)


@each_fold
def test_loops_hold_nothing_but_recurrences(case: ModelCase) -> None:
    names = [stage.name for stage in stages(case)]
    for stage in stages(case)[names.index("distribute") :]:
        loops = [node for node in stage.program.model.graph if node.op_type == "Scan"]
        assert not [off_cycle(scan) for scan in loops if off_cycle(scan)], stage.name


@each_fold
def test_passes_are_reproducible(case: ModelCase) -> None:
    again = passes.optimize(step.capture(examine(*case.build())))
    for one, other in zip(stages(case), again, strict=True):
        assert one.program.proto() == other.program.proto(), one.name


LAYERS = {
    "textbook": ["RNN"],
    "optional_state": ["RNN"],
    "state_left_out": ["RNN"],
    "torch_rnn": ["RNN", "RNN"],
    "torch_gru": ["GRU"],
    "torch_gru_deep": ["GRU", "GRU"],
    "torch_lstm_rows_first": ["LSTM", "LSTM"],
    "as_many_steps_as_rows": ["GRU"],
    "tagger": ["LSTM"],
    "classifier": ["GRU"],
    "torch_rnn_cell": ["RNN"],
    "torch_lstm_cell": ["LSTM"],
    "step": ["LSTM"],
    # The operator has no projection, ONNX Runtime none of them in float64, and no operator is this one.
    "torch_lstm_projected": ["Scan"],
    "torch_lstm_float64": ["Scan"],
    "parallel_in_training": ["Scan"],
}
FOLDED = [way for way in WAYS if way.name in LAYERS]


@pytest.fixture(scope="module", params=FOLDED, ids=lambda way: way.name)
def optimized(request: pytest.FixtureRequest) -> tuple[Way, Subject, list[passes.Stage]]:
    subject = exporter._folded(examine(*request.param.build(), step=request.param.step))
    return request.param, subject, passes.optimize(step.capture(subject))


def test_every_way_of_a_fold_is_here() -> None:
    others = {
        "outputs_alone",
        "state_within",
        "torch_bidirectional",
    }  # run whole, as no step of theirs is theirs
    assert {way.name for way in WAYS} == {*LAYERS, *others}


def test_every_layer_is_an_operator(optimized: tuple[Way, Subject, list[passes.Stage]]) -> None:
    way, _, stages_of_way = optimized
    names = [stage.name for stage in stages_of_way]
    for stage in stages_of_way[names.index("distribute") :]:
        loops = [node for node in stage.program.model.graph if node.op_type == "Scan"]
        assert not [off_cycle(scan) for scan in loops if off_cycle(scan)], stage.name
    program = next(stage.program for stage in stages_of_way if stage.form == "operator")
    assert [name for name in operators(program) if name in {*OPERATORS, "Scan"}] == LAYERS[way.name]
    assert operators(program).count("Transpose") == (way.inputs[1] == "b") + (
        way.outputs[:12] == "[batch, time"
    )
    assert "CumSum" not in operators(program)


def test_every_form_of_a_way_is_the_module(optimized: tuple[Way, Subject, list[passes.Stage]]) -> None:
    _, subject, stages_of_way = optimized
    reference = eager.start(subject, torch.float64)
    draw = grid.Draw(subject, reference)
    inputs, state = draw.inputs(11, 5), draw.state(5)
    feeds = dict(zip(subject.signature.input_names, (inputs, *state), strict=True))
    for name, program in passes.forms_of(stages_of_way).items():
        onnx.checker.check_model(program.proto(), full_check=True)
        for got, want in zip(program.run(feeds).values(), reference(inputs, *state), strict=True):
            np.testing.assert_allclose(got, want, atol=2e-6, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["torch_gru_deep", "torch_lstm_rows_first", "tagger", "classifier", "step"])
def test_ragged_layers_are_operators(name: str) -> None:
    [way] = [way for way in WAYS if way.name == name]
    subject = exporter._folded(examine(*way.build(), step=way.step))
    ragged = replace(subject.signature, lengths=True)
    forms = passes.forms_of(passes.optimize(replace(step.capture(subject), signature=ragged)))
    program = forms["operator"]
    layers = [node for node in program.model.graph if node.op_type in {*OPERATORS, "Scan"}]
    assert [node.op_type for node in layers] == LAYERS[name]
    assert all(node.inputs[4] is not None for node in layers)
    assert agree(forms["step"], program)


def test_an_output_layer_runs_once_for_the_last_time_step() -> None:
    [way] = [way for way in WAYS if way.name == "classifier"]
    forms = passes.forms_of(passes.optimize(step.capture(exporter._folded(examine(*way.build())))))
    assert operators(forms["operator"]) == ["Transpose", "GRU", "Squeeze", "Gemm"]
    [scan] = [node for node in forms["scan"].model.graph if node.op_type == "Scan"]
    assert len(scan.outputs) == 1


EXPECTED = {
    "notebook": ["RNN"],
    "rnn": ["RNN"],
    "gru": ["GRU"],
    "lstm": ["LSTM"],
    "one_unit": ["RNN"],
    "wide": ["GRU"],
    "deep_rnn": ["RNN", "RNN"],
    "deep_mixed": ["GRU", "LSTM", "RNN"],
    "char_rnn": ["GRU"],
    "char_deep": ["LSTM", "RNN"],
    "tensor_state": ["RNN"],
    # ONNX Runtime has these operators in float32 only, and the others are none of the three.
    "rnn_float64": ["Scan"],
    "lstm_float64": ["Scan"],
    "list_state": ["Scan", "Scan"],
    "layers_first": ["RNN", "RNN"],
    "starts_elsewhere": ["RNN", "Scan"],
}


@each_fold
def test_scratch_nets_come_out_as_operators(case: ModelCase) -> None:
    recurrent = [name for name in operators(form(case, "operator")) if name in {*OPERATORS, "Scan"}]
    assert recurrent == EXPECTED[case.name]


@each_fold
def test_one_loop_a_recurrence_and_one_product_for_all_projections(case: ModelCase) -> None:
    program = form(case, "scan")
    assert operators(program).count("Scan") == len(EXPECTED[case.name])
    for graph in program.model.graphs():
        left = [node.inputs[0] for node in graph if node.op_type == "MatMul"]
        assert len(left) == len(set(left))


# --- the same cells, written differently ------------------------------------------------------------------


class Loop(nn.Module):
    """A cell written as a function of the step, with three linear layers at hand."""

    def __init__(self, step_of: Callable[..., object], bias: bool = True) -> None:
        super().__init__()
        self.step_of = step_of
        self.x = nn.Linear(3, 20, bias=bias)
        self.h = nn.Linear(5, 20, bias=bias)
        self.n = nn.Linear(5, 5, bias=bias)

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = self.step_of(self, X, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs), state


def elman(activation):
    return lambda m, X, H: activation((m.x(X) + m.h(H))[:, 5:10])


def gru_interpolated(m, X, H):
    r, z, _, _ = torch.sigmoid(m.x(X) + m.h(H)).chunk(4, dim=1)
    n = torch.tanh(m.x(X)[:, 10:15] + m.n(r * H))
    return n + z * (H - n)


def gru_reset_after(m, X, H):
    x, h = m.x(X), m.h(H)
    z = torch.sigmoid(x[:, 15:] + h[:, 15:])
    r = torch.sigmoid(x[:, :5] + h[:, :5])
    n = torch.tanh(x[:, 5:10] + r * h[:, 5:10])
    return (1 - z) * n + z * H


def gru_update_swapped(m, X, H):
    z, r, _, _ = torch.sigmoid(m.h(H) + m.x(X)).chunk(4, dim=1)
    n = torch.tanh(m.x(X)[:, 10:15] + m.n(r * H))
    return (1 - z) * H + z * n


def gru_relu(m, X, H):
    z, r, _, _ = torch.sigmoid(m.h(H) + m.x(X)).chunk(4, dim=1)
    return z * H + (1 - z) * torch.relu(m.x(X)[:, 10:15] + m.n(r * H))


def lstm_packed(m, X, state):
    H, C = state
    g, o, i, f = (m.x(X) + m.h(H)).chunk(4, dim=1)
    C = torch.tanh(g) * torch.sigmoid(i) + C * torch.sigmoid(f)
    return torch.tanh(C) * torch.sigmoid(o), C


def lstm_cell_first(m, X, state):
    C, H = state
    i, f, g, o = (m.h(H) + m.x(X)).chunk(4, dim=1)
    C = torch.sigmoid(f) * C + torch.sigmoid(i) * torch.tanh(g)
    H = torch.sigmoid(o) * torch.tanh(C)
    return C, H


class HiddenOutput(Loop):
    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = self.step_of(self, X, state)
            outputs.append(state[1])
        return torch.stack(outputs), state


class Cells(nn.Module):
    """A cell written as a function of the step, with modules of its own."""

    def __init__(self, step_of: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.step_of = step_of
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = self.step_of(self, X, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs), state


def called(m, X, state):
    return m.cell(X, state)


def layers(*names: str) -> dict[str, nn.Linear]:
    """Linear layers; those called x... read the inputs, those called h... the state, the others both."""
    return {name: nn.Linear({"x": 3, "h": 5}.get(name[0], 8), 5) for name in names}


def elman_joined(m, X, H):
    return torch.tanh(m.both(torch.cat([X, H], 1)))


def gru_layers(m, X, H):
    r = torch.sigmoid(m.xr(X) + m.hr(H))
    z = torch.sigmoid(m.hz(H) + m.xz(X))
    return (1 - z) * torch.tanh(m.xn(X) + r * m.hn(H)) + z * H


def gru_joined(m, X, H):
    both = torch.cat([H, X], 1)
    r, z = torch.sigmoid(m.r(both)), torch.sigmoid(m.z(both))
    return z * torch.tanh(m.n(torch.cat([X, r * H], 1))) + (1 - z) * H


def lstm_layers(m, X, state):
    H, C = state
    i, f = torch.sigmoid(m.xi(X) + m.hi(H)), torch.sigmoid(m.xf(X) + m.hf(H))
    C = f * C + i * torch.tanh(m.xg(X) + m.hg(H))
    return torch.sigmoid(m.xo(X) + m.ho(H)) * torch.tanh(C), C


def lstm_joined(m, X, state):
    H, C = state
    both = torch.cat([X, H], 1)
    C = torch.sigmoid(m.f(both)) * C + torch.sigmoid(m.i(both)) * torch.tanh(m.g(both))
    return torch.sigmoid(m.o(both)) * torch.tanh(C), C


ONE, TWO = torch.zeros(2, 5), (torch.zeros(2, 5), torch.zeros(2, 5))
WRITTEN = {
    "tanh": (Loop(elman(torch.tanh)), ONE, "RNN"),
    "relu": (Loop(elman(torch.relu)), ONE, "RNN"),
    "without bias": (Loop(elman(torch.tanh), bias=False), ONE, "RNN"),
    "n + z * (h - n)": (Loop(gru_interpolated), ONE, "GRU"),
    "reset after the product": (Loop(gru_reset_after), ONE, "GRU"),
    "update gate the other way": (Loop(gru_update_swapped), ONE, "GRU"),
    "relu candidate": (Loop(gru_relu), ONE, "GRU"),
    "gru without bias": (Loop(gru_reset_after, bias=False), ONE, "GRU"),
    "packed, another order": (Loop(lstm_packed), TWO, "LSTM"),
    "cell state first": (HiddenOutput(lstm_cell_first), TWO, "LSTM"),
    "lstm without bias": (Loop(lstm_packed, bias=False), TWO, "LSTM"),
    "RNNCell": (Cells(called, cell=nn.RNNCell(3, 5)), ONE, "RNN"),
    "RNNCell with relu": (Cells(called, cell=nn.RNNCell(3, 5, nonlinearity="relu")), ONE, "RNN"),
    "GRUCell": (Cells(called, cell=nn.GRUCell(3, 5)), ONE, "GRU"),
    "GRUCell without bias": (Cells(called, cell=nn.GRUCell(3, 5, bias=False)), ONE, "GRU"),
    "LSTMCell": (Cells(called, cell=nn.LSTMCell(3, 5)), TWO, "LSTM"),
    "elman of one layer": (Cells(elman_joined, **layers("both")), ONE, "RNN"),
    "gru of six layers": (Cells(gru_layers, **layers("xr", "hr", "xz", "hz", "xn", "hn")), ONE, "GRU"),
    "gru of three layers": (Cells(gru_joined, **layers("r", "z", "n")), ONE, "GRU"),
    "lstm of eight layers": (
        Cells(lstm_layers, **layers("xi", "hi", "xf", "hf", "xg", "hg", "xo", "ho")),
        TWO,
        "LSTM",
    ),
    "lstm of four layers": (Cells(lstm_joined, **layers("i", "f", "g", "o")), TWO, "LSTM"),
}


@pytest.mark.parametrize(("model", "state", "operator"), WRITTEN.values(), ids=WRITTEN.keys())
def test_a_cell_written_differently_is_the_same_operator(
    model: nn.Module, state: object, operator: str
) -> None:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    subject = examine(model.eval(), (torch.randn(6, 2, 3), state))
    forms = passes.forms_of(passes.optimize(step.capture(subject)))
    check_minimal(forms["scan"])
    program = forms["operator"]
    assert operators(program).count(operator) == 1
    assert "Scan" not in operators(program)
    call = eager.start(subject, torch.float64)
    feeds = program.sample(9, 4)
    inputs, *start = feeds.values()
    for got, want in zip(program.run(feeds).values(), call(inputs, *start), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-6)


def check_minimal(program: Program) -> None:
    """All projections of the inputs are one product, and those of the state; nothing else is in the loop."""
    [scan] = [node for node in program.model.graph if node.op_type == "Scan"]
    assert not off_cycle(scan)
    assert operators(program).count("MatMul") == 1
    for graph in program.model.graphs():
        left = [node.inputs[0] for node in graph if node.op_type in ("MatMul", "Gemm")]
        assert len(left) == len(set(left))


def coupled(m, X, H):
    """Nearly a GRU: the update gate is squared."""
    z, r, _, _ = torch.sigmoid(m.h(H) + m.x(X)).chunk(4, dim=1)
    n = torch.tanh(m.x(X)[:, 10:15] + m.n(r * H))
    return (1 - z * z) * n + z * z * H


def leaky(m, X, H):
    """Nearly an Elman net: some of the old state is kept."""
    return 0.9 * torch.tanh((m.x(X) + m.h(H))[:, :5]) + 0.1 * H


@pytest.mark.parametrize("cell", [coupled, leaky])
def test_what_is_none_of_the_three_stays_a_loop(cell: Callable[..., object]) -> None:
    program = passes.optimize(step.capture(examine(Loop(cell).eval(), (torch.randn(6, 2, 3), ONE))))[
        -1
    ].program
    assert operators(program).count("Scan") == 1


# --- wrong passes and wrong proposals ---------------------------------------------------------------------

FUSED = next(case for case in FOLDS if case.name == "gru")


def swapped_roles(operator: fuse_pass.Operator) -> fuse_pass.Operator:
    update, reset, candidate = operator.gates
    return replace(operator, gates=(reset, update, candidate))


def missing_bias(operator: fuse_pass.Operator) -> fuse_pass.Operator:
    update, reset, candidate = operator.gates
    return replace(operator, gates=(update, reset, replace(candidate, b=0 * candidate.b)))


def other_reset(operator: fuse_pass.Operator) -> fuse_pass.Operator:
    return replace(operator, attributes={"linear_before_reset": 1})


def other_activation(operator: fuse_pass.Operator) -> fuse_pass.Operator:
    return replace(operator, activations=("Sigmoid", "Relu"))


@pytest.mark.parametrize("wrong", [swapped_roles, missing_bias, other_reset, other_activation])
def test_a_wrong_proposal_is_rejected(
    wrong: Callable[[fuse_pass.Operator], fuse_pass.Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = fuse_pass.propose
    monkeypatch.setattr(fuse_pass, "propose", lambda cut: map(wrong, right(cut)))
    program = form(FUSED, "scan")
    assert fuse_pass.fuse(program) is program
    monkeypatch.setattr(fuse_pass, "propose", right)
    assert "GRU" in operators(fuse_pass.fuse(program))


def test_a_pass_that_changes_the_program_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def halve(program: Program) -> Program:
        program = program.copy()
        weight = program.model.graph.initializers["model.W_hq"]
        weight.const_value = ir.tensor(weight.const_value.numpy() * np.float32(0.5), name=weight.name)
        return program

    monkeypatch.setattr(passes, "PASSES", ((halve, ""),))
    with pytest.raises(PassError, match="pass halve changed what the Program computes"):
        passes.optimize(form(FUSED, "step"))


def test_programs_of_other_weights_do_not_agree() -> None:
    one, other = (form(case, "step") for case in FOLDS if case.name in ("gru", "rnn"))
    assert agree(one, one)
    assert not agree(one, other)


@pytest.mark.parametrize(
    ("name", "time", "batch", "expected"),
    [
        ("rnn", 100, 1, ["gated", "operator", "scan", "step"]),
        ("rnn", 1, 1, ["operator", "gated", "scan", "step"]),
        ("rnn", 100, 64, ["scan", "step", "gated", "operator"]),
        ("rnn", 100, 5000, ["step", "scan", "gated", "operator"]),
        ("gru", 100, 64, ["operator", "scan", "step"]),
        ("gru", 100, 5000, ["step", "scan", "operator"]),
        ("list_state", 100, 1, ["scan", "step"]),
        ("list_state", 100, 5000, ["step", "scan"]),
    ],
)
def test_the_form_follows_from_the_example_and_the_state(
    name: str, time: int, batch: int, expected: list[str]
) -> None:
    case = next(case for case in FOLDS if case.name == name)
    assert rank(passes.forms_of(stages(case)), time, batch) == expected


# --- one operator in place of another ---------------------------------------------------------------------


def rnn_model(
    directions: int, activation: str, given: Sequence[str], **attributes: object
) -> onnx.ModelProto:
    """An ONNX model with one RNN; ``given`` names its optional inputs."""
    random = np.random.default_rng(0)
    way = ("forward", "bidirectional")[directions - 1]
    arrays = {
        "W": random.standard_normal((directions, 5, 3)) * 0.4,
        "R": random.standard_normal((directions, 5, 5)) * 0.2,
        "B": random.standard_normal((directions, 10)) * 0.4,
    }
    names = [name if name in {"W", "R", *given} else "" for name in ("W", "R", "B", "lengths", "h")]
    node = helper.make_node(
        "RNN",
        ["x", *names],
        ["y", "y_h"],
        hidden_size=5,
        direction=way,
        activations=[activation] * directions,
        **attributes,
    )
    inputs = {"x": (1, ["T", "B", 3]), "lengths": (6, ["B"]), "h": (1, [directions, "B", 5])}
    outputs = {"y": (1, ["T", directions, "B", 5]), "y_h": (1, [directions, "B", 5])}
    infos = {name: helper.make_tensor_value_info(name, *facts) for name, facts in (inputs | outputs).items()}
    graph = helper.make_graph(
        [node],
        "rnn",
        [infos[name] for name in inputs if name == "x" or name in given],
        [infos[name] for name in outputs],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def gated(model: onnx.ModelProto) -> onnx.ModelProto:
    signature = form(FUSED, "scan").signature
    return gate_pass.gate(Program(ir.from_proto(model), signature)).proto()


@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("given", [(), ("B",), ("B", "h"), ("B", "lengths", "h")])
def test_an_rnn_is_a_gru_with_its_gates_held_open(
    directions: int, activation: str, given: tuple[str, ...]
) -> None:
    model = rnn_model(directions, activation, given)
    after = gated(model)
    onnx.checker.check_model(after, full_check=True)
    assert [node.op_type for node in after.graph.node] == ["GRU"]
    random = np.random.default_rng(1)
    feeds = {
        "x": random.standard_normal((7, 3, 3)).astype(np.float32),
        "lengths": np.array([7, 2, 5], np.int32),
        "h": random.standard_normal((directions, 3, 5)).astype(np.float32),
    }
    feeds = {name: value for name, value in feeds.items() if name == "x" or name in given}
    results = zip(run_model(after, feeds, ["y", "y_h"]), run_model(model, feeds, ["y", "y_h"]), strict=True)
    for got, want in results:
        np.testing.assert_allclose(got, want, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(
    ("activation", "attributes"), [("Sigmoid", {}), ("Tanh", {"clip": 3.0}), ("Tanh", {"layout": 1})]
)
def test_an_rnn_that_is_not_understood_stays_one(activation: str, attributes: dict[str, object]) -> None:
    after = gated(rnn_model(1, activation, ["B"], **attributes))
    assert [node.op_type for node in after.graph.node] == ["RNN"]


# --- loops that run backward ------------------------------------------------------------------------------


def turned(program: Program, inputs: int = 1, outputs: int = 1) -> Program:
    """Let the loops of a Program run from the last time step to the first."""
    program = program.copy()
    for scan in program.model.graph:
        if scan.op_type == "Scan":
            sequences = scan.attributes["num_scan_inputs"].as_int()
            emitted = len(scan.outputs) - len(scan.inputs) + sequences
            ways = {"input": [inputs] * sequences, "output": [outputs] * emitted}
            for side, way in ways.items():
                name = f"scan_{side}_directions"
                scan.attributes[name] = ir.AttrInt64s(name, way)
    return program


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "deep_mixed"])
def test_a_loop_that_runs_backward_is_an_operator_that_does(name: str) -> None:
    case = next(case for case in FOLDS if case.name == name)
    backward = turned(form(case, "scan"))
    assert not agree(backward, form(case, "scan"))
    fused = fuse_pass.fuse(backward)
    found = [node for node in fused.model.graph if node.op_type in OPERATORS]
    assert [node.op_type for node in found] == EXPECTED[name]
    assert {node.attributes["direction"].as_string() for node in found} == {"reverse"}
    assert agree(backward, fused)
    assert agree(backward, gate_pass.gate(fused))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 0), (0, 1)])
def test_a_loop_that_reads_one_way_and_writes_the_other_stays_a_loop(inputs: int, outputs: int) -> None:
    program = turned(form(FUSED, "scan"), inputs, outputs)
    assert fuse_pass.fuse(program) is program
