"""What tracing leaves over goes: axes that are added and dropped again, casts of casts."""

import pytest
import torch
from torch import nn

from rnn_export.capture import step
from rnn_export.module.reading import inspect_module
from rnn_export.passes.operators.guard import unguarded
from rnn_export.passes.pipeline import forms_of, optimize
from tests.support.cases import CASES


class Framed(nn.Module):
    """Linear layers over the whole sequence before and after the loop."""

    def __init__(self):
        super().__init__()
        self.before, self.cell, self.after = nn.Linear(3, 4), nn.RNNCell(4, 5), nn.Linear(5, 2)

    def forward(self, inputs, state):
        outputs = []
        for X in torch.relu(self.before(inputs)):
            state = self.cell(X, state)
            outputs.append(state)
        return torch.sigmoid(self.after(torch.stack(outputs))), state


def test_layers_over_the_sequence_have_no_axis_too_many() -> None:
    torch.manual_seed(0)
    stages = optimize(
        step.capture(inspect_module(Framed().eval(), (torch.randn(6, 2, 3), torch.zeros(2, 5))))
    )
    found = [node.op_type for node in unguarded(forms_of(stages)["operator"].model).graph]
    assert [name for name in found if "queeze" not in name] == [
        *("MatMul", "Add", "Relu", "RNN", "MatMul", "Add", "Sigmoid")
    ]
    assert found.count("Squeeze") == 2  # the operator's axis of directions, of its outputs and of its state
    assert found.count("Unsqueeze") == 1


def test_token_ids_become_vectors_in_three_operators() -> None:
    [case] = [case for case in CASES if case.name == "char_rnn"]
    found = [
        node.op_type
        for node in unguarded(
            forms_of(optimize(step.capture(inspect_module(*case.build()))))["operator"].model
        ).graph
    ]
    assert found[:3] == ["Unsqueeze", "Equal", "Cast"]
    assert found.count("Cast") == 1


class Listed(nn.Module):
    """A list of states that begins with the first one, which is no output; read in several ways."""

    def __init__(self, last):
        super().__init__()
        self.cell, self.last = nn.GRUCell(4, 5), last

    def forward(self, inputs, state):
        states = [state]
        for X in inputs:
            states.append(self.cell(X, states[-1]))
        outputs = torch.stack(states)
        return outputs[1:], outputs[-1] if self.last == "outputs" else states[-1]


@pytest.mark.parametrize("last", ["outputs", "states"])
def test_a_list_of_states_that_begins_with_the_first_one_is_an_operator(last: str) -> None:
    subject = inspect_module(Listed(last).eval(), (torch.randn(6, 3, 4), torch.zeros(3, 5)))
    found = [
        node.op_type for node in unguarded(forms_of(optimize(step.capture(subject)))["operator"].model).graph
    ]
    assert [name for name in found if "queeze" not in name] == ["GRU"]


class Twice(nn.Module):
    """The same product of the state, written twice."""

    def __init__(self):
        super().__init__()
        self.outer = nn.Linear(3, 3)

    def forward(self, inputs, state):
        outputs = []
        for X in inputs:
            state = torch.tanh(X + self.outer(state)) * torch.sigmoid(self.outer(state))
            outputs.append(state)
        return torch.stack(outputs), state


def test_what_a_step_computes_twice_is_computed_once() -> None:
    stages = optimize(step.capture(inspect_module(Twice().eval(), (torch.randn(6, 2, 3), torch.zeros(2, 3)))))
    [scan] = [node for node in forms_of(stages)["step"].model.graph if node.op_type == "Scan"]
    assert [node.op_type for node in scan.attributes["body"].as_graph()].count("Gemm") == 1
