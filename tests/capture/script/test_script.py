"""TorchScript keeps the loop, takes unannotated classes, and says what it cannot compile."""

import onnx
import pytest
import torch
from torch import nn

from rnn_export.capture.script.script import script
from rnn_export.errors import ScriptError
from rnn_export.models import DeepRNNScratch, GRUScratch, LSTMScratch, RNNScratch
from rnn_export.module.reading import inspect_module
from rnn_export.signature.tree import tree_build, tree_leaves
from tests.support.cases import CPU, ModelCase, each_case
from tests.support.loop_form import export_loop


def scripted(model: nn.Module, inputs: torch.Tensor, state: object) -> torch.jit.ScriptModule:
    return script(inspect_module(model, (inputs, state)))


@each_case
def test_the_loop_survives(case: ModelCase) -> None:
    model, (inputs, state) = case.build()
    compiled = scripted(model, inputs, state)
    assert "prim::Loop" in str(compiled.inlined_graph)


@each_case
def test_the_graph_does_not_grow_with_time(case: ModelCase) -> None:
    model, (inputs, state) = case.build()
    longer = torch.cat([inputs] * 20)
    short, long = scripted(model, inputs, state), scripted(model, longer, state)
    assert str(short.inlined_graph) == str(long.inlined_graph)


@each_case
def test_equals_eager_at_another_length_and_batch(case: ModelCase) -> None:
    model, (inputs, state) = case.build()
    subject = inspect_module(model, (inputs, state))
    compiled = script(subject)
    rows = inputs[:, :1].repeat_interleave(4, dim=1)
    inputs = torch.cat([rows, rows.flip(0)])
    wider = {
        spec.name: leaf.narrow(spec.shape.index("batch"), 0, 1).repeat_interleave(
            4, spec.shape.index("batch")
        )
        for spec, leaf in zip(subject.signature.state, tree_leaves(state), strict=True)
    }
    state = tree_build(subject.signature.tree, wider.__getitem__)
    with torch.no_grad():
        expected, got = model(inputs, state), compiled(inputs, state)
    torch.testing.assert_close(tree_leaves(got), tree_leaves(expected), rtol=0, atol=0)


def test_begin_state_stays_callable() -> None:
    net = DeepRNNScratch(GRUScratch(4, 6, 5), LSTMScratch(5, 4, 3))
    compiled = scripted(net, torch.zeros(5, 2, 4), net.begin_state(2, CPU))
    ((h_1,), (h_2, c_2)) = compiled.begin_state(7, CPU)
    assert [leaf.shape for leaf in (h_1, h_2, c_2)] == [(7, 6), (7, 4), (7, 4)]


def test_one_export_leaves_no_trace_in_the_next() -> None:
    """Upstream remembers types by class name: the second stack would get the first one's state."""

    def code(*layers: nn.Module) -> str:
        net = DeepRNNScratch(*layers)
        return scripted(net, torch.zeros(5, 2, 4), net.begin_state(2, CPU)).code

    alone = code(LSTMScratch(4, 6, 5))
    assert code(GRUScratch(4, 6, 5), RNNScratch(5, 3, 2)) != alone
    assert code(LSTMScratch(4, 6, 5)) == alone
    assert "mangle" not in alone


def test_the_users_own_scripting_is_left_alone() -> None:
    net = DeepRNNScratch(RNNScratch(4, 6, 3))
    scripted(net, torch.zeros(5, 2, 4), net.begin_state(2, CPU))

    class Untyped(nn.Module):
        def forward(self, inputs, state):
            return inputs + state

    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        compiled = torch.jit.script(Untyped())
    assert "state: Tensor" in compiled.code


@each_case
def test_loop_form_is_valid_onnx(case: ModelCase) -> None:
    subject = inspect_module(*case.build())
    model = export_loop(script(subject), subject)
    onnx.checker.check_model(model, full_check=True)
    assert any(node.op_type == "Loop" for node in model.graph.node)


class TryExcept(nn.Module):
    def forward(self, inputs, state):
        try:  # noqa: SIM105 (what TorchScript has no word for)
            inputs = inputs + self.scale
        except RuntimeError:
            pass
        return inputs, state

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


class Variadic(TryExcept):
    def forward(self, inputs, *state):
        return inputs * self.scale, state[0]


class ChangesType(TryExcept):
    def forward(self, inputs, state):
        H = None
        for X in inputs:
            H = X if H is None else H + X
        return inputs * self.scale, state


class Inside(TryExcept):
    def __init__(self):
        super().__init__()
        self.cell = ChangesType()

    def forward(self, inputs, state):
        return self.cell(inputs, state)


class MixedAttribute(TryExcept):
    def __init__(self):
        super().__init__()
        self.options = {"gain": [1, "x"]}

    def forward(self, inputs, state):
        return inputs * self.scale * self.options["gain"][0], state


class Twice(TryExcept):
    def __init__(self):
        super().__init__()
        self.cell = RNNScratch(4, 4, 4)
        self.stack = DeepRNNScratch(DeepRNNScratch(RNNScratch(4, 4, 4)))

    def forward(self, inputs, state):
        return self.stack(inputs, state)


@pytest.mark.parametrize(
    ("model", "module", "source", "remedy"),
    [
        (TryExcept(), "TryExcept: try blocks", "try:", "plain statements"),
        (
            Variadic(),
            "Variadic: ",
            "def forward(self, inputs, *state):",
            "fixed list of positional parameters",
        ),
        (ChangesType(), "ChangesType: Variable 'H'", "H = X if H is None else H + X", "one type"),
        (Inside(), "ChangesType (submodule 'cell')", "H = X if H is None else H + X", "one type"),
        (MixedAttribute(), "MixedAttribute", 'self.options["gain"][0]', "of one type in attributes"),
    ],
)
def test_what_cannot_be_compiled_is_named(model: nn.Module, module: str, source: str, remedy: str) -> None:
    with pytest.raises(ScriptError) as caught:
        scripted(model, torch.zeros(3, 2, 4), (torch.zeros(2, 4),))
    message = str(caught.value)
    assert f"TorchScript cannot compile {module}" in message
    assert remedy in message
    place, line = next(part.rsplit(":", 1) for part in message.splitlines() if part.startswith("  /"))
    with open(place.strip()) as file:
        assert source in file.readlines()[int(line) - 1]


def test_a_class_that_was_made_without_lines_of_its_own_is_named() -> None:
    made = type("Made", (nn.Module,), {"forward": TryExcept.forward, "scale": 1.0})
    with pytest.raises(ScriptError, match=r"TorchScript cannot compile Made \(in a function that it calls\)"):
        scripted(made(), torch.zeros(3, 2, 4), (torch.zeros(2, 4),))


def test_one_class_with_two_state_types_is_named() -> None:
    net = Twice()
    with pytest.raises(ScriptError, match=r"DeepRNNScratch.*\n.*\n.*\nAnnotate the parameters"):
        scripted(net, torch.zeros(3, 2, 4), net.stack.begin_state(2, CPU))


def test_an_operation_without_onnx_form_is_named() -> None:
    class Exotic(TryExcept):
        def forward(self, inputs, state):
            return torch.special.modified_bessel_i0(inputs * self.scale), state

    subject = inspect_module(Exotic(), (torch.zeros(3, 2, 4), (torch.zeros(2, 4),)))
    with pytest.raises(ScriptError, match=r"Exotic cannot be exported to ONNX: .*bessel"):
        export_loop(script(subject), subject)
