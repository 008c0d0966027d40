"""A loop becomes the operator that its cell is, however it was written, and nothing that it is not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from rnn_export.capture import step
from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.passes import pipeline
from rnn_export.passes.choose import OPERATORS
from rnn_export.passes.operators import recognize as recognition
from rnn_export.passes.operators.cells import POINTS
from rnn_export.passes.operators.guard import unguarded
from rnn_export.passes.operators.rnn_as_gru import rnn_as_gru
from rnn_export.passes.operators.step_function import Step
from rnn_export.program.agree import agree
from rnn_export.program.program import Program
from rnn_export.program.scan import DIRECTIONS, scans
from tests.support.cases import FOLDS, sample
from tests.support.stages import EXPECTED, FUSED, form, off_cycle, operators


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


QUICK = ("relu", "without bias", "n + z * (h - n)", "reset after the product", "cell state first", "LSTMCell")
QUICK += ("gru of three layers", "lstm of eight layers")


@pytest.mark.several(4)
@pytest.mark.parametrize("name", sample([*WRITTEN], *QUICK))
def test_a_cell_written_differently_is_the_same_operator(name: str) -> None:
    model, state, operator = WRITTEN[name]
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    subject = inspect_module(model.eval(), (torch.randn(6, 2, 3), state))
    forms = pipeline.forms_of(pipeline.optimize(step.capture(subject)))
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
    program = pipeline.optimize(step.capture(inspect_module(Loop(cell).eval(), (torch.randn(6, 2, 3), ONE))))[
        -1
    ].program
    assert operators(program).count("Scan") == 1


def swapped_roles(operator: recognition.Operator) -> recognition.Operator:
    update, reset, candidate = operator.gates
    return replace(operator, gates=(reset, update, candidate))


def missing_bias(operator: recognition.Operator) -> recognition.Operator:
    update, reset, candidate = operator.gates
    return replace(operator, gates=(update, reset, replace(candidate, b=0 * candidate.b)))


def other_reset(operator: recognition.Operator) -> recognition.Operator:
    return replace(operator, attributes={"linear_before_reset": 1})


def other_activation(operator: recognition.Operator) -> recognition.Operator:
    return replace(operator, activations=("Sigmoid", "Relu"))


@pytest.mark.parametrize("wrong", [swapped_roles, missing_bias, other_reset, other_activation])
def test_a_wrong_proposal_is_rejected(
    wrong: Callable[[recognition.Operator], recognition.Operator], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, right = form(FUSED, "scan"), recognition.propose
    monkeypatch.setattr(recognition, "propose", lambda cut: map(wrong, right(cut)))
    assert recognition.recognize(program) is program
    monkeypatch.setattr(recognition, "propose", right)
    assert "GRU" in operators(recognition.recognize(program))


def test_all_gates_are_measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    program = form(next(case for case in FOLDS if case.name == "lstm"), "scan")
    rows, call = list[int](), Step.call

    def counted(self, x, states, activations):
        rows.append(len(x))
        return call(self, x, states, activations)

    monkeypatch.setattr(Step, "call", counted)
    assert "LSTM" in operators(recognition.recognize(program))
    assert len([number for number in rows if number > POINTS]) == 1


def turned(program: Program, inputs: int = 1, outputs: int = 1) -> Program:
    """Let the loops of a Program run from the last time step to the first."""
    program = program.copy()
    for scan in scans(program.model.graph):
        ways = [inputs] * len(scan.sequences), [outputs] * len(scan.results)
        for name, way in zip(DIRECTIONS, ways, strict=True):
            scan.node.attributes[name] = ir.AttrInt64s(name, way)
    return program


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "deep_mixed"])
def test_a_loop_that_runs_backward_is_an_operator_that_does(name: str) -> None:
    case = next(case for case in FOLDS if case.name == name)
    backward = turned(form(case, "scan"))
    assert not agree(backward, form(case, "scan"))
    fused = recognition.recognize(backward)
    found = [node for node in unguarded(fused.model).graph if node.op_type in OPERATORS]
    assert [node.op_type for node in found] == EXPECTED[name]
    assert {node.attributes["direction"].as_string() for node in found} == {"reverse"}
    assert agree(backward, fused)
    assert agree(backward, rnn_as_gru(fused))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 0), (0, 1)])
def test_a_loop_that_reads_one_way_and_writes_the_other_stays_a_loop(inputs: int, outputs: int) -> None:
    program = turned(form(FUSED, "scan"), inputs, outputs)
    assert recognition.recognize(program) is program
