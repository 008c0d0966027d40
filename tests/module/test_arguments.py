"""Calls as people write them are read as inputs and a state; what is neither is refused by its name."""

import json
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from rnn_export.errors import InputError, ModelError
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from rnn_export.signature.as_json import from_json, to_json
from tests.support.around_nets import NETS
from tests.support.calls import CALLS, WHOLE, Call, DictState, KeywordState
from tests.support.cases import sample

X, H = torch.randn(7, 3, 4), torch.zeros(3, 5)


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_the_state_is_what_comes_back_wherever_it_stands(call: Call) -> None:
    torch.manual_seed(0)
    args, kwargs = call.draw(7, 3)
    signature = inspect_export(call.make().eval(), args, kwargs=kwargs).signature
    assert signature.inputs[0].shape == call.shape
    assert tuple(leaf.name for leaf in signature.state) == call.state
    assert signature.streamable


class Step(nn.Module):
    """Two numbers of one size come back, under names or not."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.same = nn.LSTMCell(4, 5), nn.Linear(5, 5)


class Fed(NamedTuple):
    y: Tensor
    h: Tensor
    c: Tensor


class ByName(Step):
    def forward(self, x: Tensor, *, c: Tensor, h: Tensor) -> Fed:
        outputs = []
        for x_t in x:
            h, c = self.cell(x_t, (h, c))
            outputs.append(self.same(h))
        return Fed(torch.stack(outputs), h, c)


def test_names_tell_which_tensor_comes_back_as_which() -> None:
    torch.manual_seed(0)
    subject = inspect_export(ByName().eval(), X, kwargs={"c": H, "h": H})
    assert [leaf.name for leaf in subject.signature.state] == ["c", "h"]
    assert subject.signature.streamable


class Last(Step):
    """Returns three tensors of one shape."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        for x_t in x:
            h, c = self.cell(x_t, (h, c))
        return h, c, self.same(h)


def test_of_several_readings_the_one_that_reproduces_itself_is_taken() -> None:
    """``(h, c)`` comes first here; ``(c, same)``, which has the same shapes, is no state."""
    torch.manual_seed(0)
    subject = inspect_export(Last().eval(), (X, H, H))
    arguments = torch.randn(5, 3, 4), torch.randn(3, 5), torch.randn(3, 5)
    h, c, y = subject.original(*arguments)
    torch.testing.assert_close(subject.flat()(*arguments), (y, h, c))
    assert subject.signature.streamable


class OneStep(Step):
    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.cell(x, (h, c))
        return h, c, self.same(h)


def test_several_readings_that_reproduce_themselves_are_refused() -> None:
    with pytest.raises(InputError, match=r"one way to tell the outputs from the state, got 3, with"):
        inspect_export(OneStep().eval(), (X[0], H, H), step=True)


def test_what_is_as_long_as_all_sequences_together_is_no_state() -> None:
    net = NETS["imputing"]
    signature = inspect_export(net.make().eval(), net.draw(7, 4)).signature
    assert [spec.shape for spec in signature.inputs] == [("batch", "time", 3)] * 3
    assert [spec.shape for spec in signature.outputs] == [("batch", "time", 3), ("batch", 1)]


class Policy(nn.Module):
    """One step of an agent: forgets what was before an episode."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.cell = nn.Embedding(5, 3), nn.LSTMCell(9, 6)
        self.action, self.value = nn.Linear(6, 5), nn.Linear(6, 1)

    def forward(self, seen: Tensor, did: Tensor, done: Tensor, goal: Tensor, state: Any) -> dict[str, Any]:
        h, c = (leaf * ~done[:, None] for leaf in state)
        state = self.cell(torch.cat([seen, self.embed(did), goal], -1), (h, c))
        return {"action": self.action(state[0]), "value": self.value(state[0])[:, 0], "state": state}


def test_a_step_of_several_inputs_and_outputs_is_run_over_time() -> None:
    torch.manual_seed(0)
    model, start = Policy().eval(), (torch.zeros(3, 6), torch.zeros(3, 6))
    first = torch.randn(3, 4), torch.tensor([1, 0, 4]), torch.tensor([True, False, True])
    goal = torch.randn(3, 2)
    subject = inspect_export(model, (*first, goal, start), step=True, said=Said(roles={"goal": "context"}))
    signature = subject.signature
    assert {spec.name: spec.shape for spec in (*signature.inputs, *signature.outputs)} == {
        "seen": ("time", "batch", 4),
        "did": ("time", "batch"),
        "done": ("time", "batch"),
        "goal": ("batch", 2),
        "action": ("time", "batch", 5),
        "value": ("time", "batch"),
    }
    assert signature.streamable
    seen, did, done = torch.randn(4, 3, 4), torch.randint(5, (4, 3)), torch.rand(4, 3) < 0.5
    got = subject.flat()(seen, did, done, goal, *start)
    state: Any = start
    for step in range(4):
        want = model(seen[step], did[step], done[step], goal, state)
        state = want["state"]
        torch.testing.assert_close((got[0][step], got[1][step]), (want["action"], want["value"]))
    torch.testing.assert_close(got[2:], state)


class Stateless(Step):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.cell(torch.cat([x, y], 1))[0]


def test_a_step_of_several_inputs_needs_its_state() -> None:
    with pytest.raises(InputError, match=r"example of a step: expected inputs and a state, got"):
        inspect_export(Stateless().eval(), (torch.randn(3, 1), torch.randn(3, 3)), step=True)


class Conditioned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Tensor, speaker: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        more = speaker[:, None].expand(-1, x.shape[1], -1)
        y, h = self.gru(torch.cat([x, more], -1), h)
        return y, h


def test_an_argument_that_does_not_come_back_is_an_input() -> None:
    example = torch.randn(3, 7, 4), torch.randn(3, 2), torch.zeros(1, 3, 5)
    signature = inspect_export(Conditioned().eval(), example).signature
    assert [(spec.name, spec.role) for spec in signature.inputs] == [
        ("x", "sequence"),
        ("speaker", "context"),
    ]
    assert signature.streamable


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.policy, self.value = nn.GRU(4, 5), nn.Linear(5, 3), nn.Linear(5, 1)

    def forward(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        y, h = self.gru(x, h)
        return {"policy": self.policy(y), "value": self.value(y), "h": h}


def test_several_outputs_are_named() -> None:
    signature = inspect_export(TwoHeads().eval(), (X, H[None])).signature
    assert [(spec.name, spec.shape) for spec in signature.outputs] == [
        ("policy", ("time", "batch", 3)),
        ("value", ("time", "batch", 1)),
    ]


class EveryLayer(nn.Module):
    """Gives the features of all layers in a list, which may be as many as the rows, or as the time steps."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.GRU(4, 4) for _ in range(layers))

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        features = []
        for layer in self.layers:
            x, _ = layer(x)
            features.append(x)
        return features, x[-1]


@pytest.mark.parametrize("layers", [3, 7])
def test_a_list_of_outputs_is_no_list_of_time_steps(layers: int) -> None:
    signature = inspect_export(EveryLayer(layers).eval(), X).signature
    assert [spec.shape for spec in signature.outputs] == [("time", "batch", 4)] * layers + [("batch", 4)]


class Annealed(nn.Module):
    """A number for all rows, which each time step makes smaller, times inputs of as many features as rows."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(3, 5)

    def forward(self, x: Tensor, h: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = []
        for x_t in x:
            h, gain = self.cell(x_t * gain, h), gain * 0.9
            outputs.append(h)
        return torch.stack(outputs), h, gain


def test_a_number_for_all_rows_is_none_for_all_features() -> None:
    with pytest.warns(UserWarning, match=r"gain: one number for all rows.*float32 \[3, 1\] for 3"):
        signature = inspect_export(Annealed().eval(), (X[:, :, :3], H, torch.tensor(1.0))).signature
    assert [leaf.shape for leaf in signature.state] == [("batch", 5), ("batch", 1)]


def test_a_call_that_fails_is_shown() -> None:
    wrong = {"h": torch.zeros(1, 3, 5), "c": torch.zeros(1, 3, 5)}  # five units, not six
    with pytest.raises(
        InputError, match=r"DictState failed on \(float32 .*, dict\(h=float32 \[1, 3, 5\], c="
    ):
        inspect_export(DictState().eval(), (torch.randn(3, 7, 4), wrong))
    with pytest.raises(InputError, match=r"KeywordState failed on .*argument: 'hx'"):
        inspect_export(KeywordState().eval(), torch.randn(3, 7, 4), kwargs={})


def test_half_precision_is_exported_in_float32_and_says_so() -> None:
    torch.manual_seed(0)
    model = nn.GRU(4, 5).eval().bfloat16()
    with pytest.warns(UserWarning, match=r"GRU is in half precision.*in float32"):
        signature = inspect_export(model, (X.bfloat16(), torch.zeros(1, 3, 5).bfloat16())).signature
    assert signature.dtype == "float32"


class Labels(nn.Module):
    """Gives the number of the largest unit, which another token seldom changes."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(30, 4), nn.GRU(4, 5, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.gru(self.embedding(tokens))[0].argmax(-1)


@pytest.mark.parametrize("seed", range(6))
def test_time_and_batch_are_told_apart_by_labels_alone(seed: int) -> None:
    torch.manual_seed(seed)
    subject = inspect_export(Labels().eval(), torch.randint(30, (3, 9)))
    assert subject.signature.inputs[0].shape == ("batch", "time")


def test_time_and_batch_are_told_apart_by_labels_that_are_all_the_same() -> None:
    torch.manual_seed(0)
    model = Labels().eval()
    model.gru.bias_ih_l0.data[[5, 10]] = torch.tensor([-90.0, 90.0])  # the first unit is 1 whatever comes
    tokens = torch.randint(30, (3, 9))
    assert not model(tokens).any()
    assert inspect_export(model, tokens).signature.inputs[0].shape == ("batch", "time")


@pytest.mark.parametrize("name", sample([*WHOLE], "two for one"))
def test_the_number_of_outputs_is_found(name: str) -> None:
    call, least, shape = WHOLE[name]
    torch.manual_seed(0)
    args, _ = call.draw(20, 3)
    signature = inspect_export(call.make().eval(), args).signature
    assert (signature.least, signature.outputs[0].shape, signature.inputs[0].shape) == (
        least,
        shape,
        call.shape,
    )
    assert from_json(json.loads(json.dumps(to_json(signature)))) == signature


class Jumps(nn.Module):
    """Gives as many outputs as the square of the time steps says, which no stride makes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).cumsum(0).repeat(len(x) % 7 + 1, 1, 1)


def test_a_number_of_outputs_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ModelError, match=r"outputs of forward\(\): expected an axis for the batch"):
        inspect_export(Jumps().eval(), X)


class Halved(nn.Module):
    """Halves the state of all rows where one is large."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.h = nn.Linear(4, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        h, out = x.new_zeros(x.shape[1], 5), []
        for x_t in x:
            h = torch.relu(self.x(x_t) + self.h(h)) + self.noise(h)
            h = h / max(float(h.detach().max()), 0.1)
            out.append(h)
        return torch.stack(out)

    def noise(self, h: Tensor) -> Tensor:
        return torch.zeros_like(h)


class Noisy(Halved):
    def noise(self, h: Tensor) -> Tensor:
        return 1e-6 * torch.randn_like(h)


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Halved, r"results of a row: expected the same in any batch"),
        (Noisy, r"differ by .* random|random numbers"),
    ],
)
def test_why_no_axis_is_the_batch_is_said(net: type[nn.Module], reason: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=reason):
        inspect_export(net().eval(), X)


class Squeezed(nn.Module):
    """Gives one number for each time step, without the axes of one entry, whichever these are."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.out(self.lstm(x)[0])
        return y.reshape([size for size in y.shape if size > 1])


@pytest.mark.parametrize("batch", [1, 3])
def test_an_axis_that_is_lost_for_one_row_is_said(batch: int) -> None:
    with pytest.raises(ModelError, match=r"name the axis of squeeze\(\), and sizes in view\(\)"):
        inspect_export(Squeezed().eval(), torch.randn(batch, 7, 4))
