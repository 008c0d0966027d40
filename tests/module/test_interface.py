"""Nothing that goes into a module or comes out of it is renamed or lost without a word."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnn_export.errors import ExportWarning, InputError, ModelError, RnnExportError
from rnn_export.module.candidates import Said
from rnn_export.module.inspection import inspect_export
from tests.support.nets import OutputsAlone

X, H, T = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 5), torch.tensor


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Net(nn.Module):
    """Has layers, and a function for what it does with them."""

    def __init__(self, run: Callable[..., Any]) -> None:
        super().__init__()
        self.gru, self.lstm, self.wide = nn.GRU(4, 5), nn.LSTM(4, 5), nn.GRU(7, 5)
        self.head, self.value, self.cell = nn.Linear(5, 3), nn.Linear(5, 1), nn.LSTMCell(4, 5)
        self.same, self.embed, self.rnn = nn.Linear(5, 5), nn.Embedding(9, 3), nn.RNN(4, 5, 1)
        self.run = run


class Alone(Net):
    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


class WithMore(Net):
    def forward(self, x: Tensor, *more: Any) -> Any:
        return self.run(self, x)


class WithSpeaker(Net):
    def forward(self, x: Tensor, speaker: Any) -> Any:
        return self.run(self, x, speaker)


def beside(net: Net, x: Tensor, more: Tensor) -> Tensor:
    return net.wide(torch.cat([x, more.expand(len(x), -1, -1)], -1))[0]


STATE = "state_0 float32 [1, batch, 5]"
READ = {
    "a speaker": (
        WithSpeaker(beside),
        (X, torch.randn(2, 3)),
        ["x float32 [time, batch, 4]", "speaker float32 [batch, 3]", STATE],
        ["outputs float32 [time, batch, 5]"],
    ),
    "a speaker's number": (
        WithSpeaker(lambda net, x, ids: beside(net, x, net.embed(ids))),
        (X, T([3, 4])),
        ["x float32 [time, batch, 4]", "speaker int64 [batch]", STATE],
        ["outputs float32 [time, batch, 5]"],
    ),
    "a sequence whose last state another one begins with": (
        WithSpeaker(lambda net, x, target: net.wide(target, net.gru(x)[1])[0]),
        (X, torch.randn(5, 2, 7)),
        ["x float32 [x_length, batch, 4]", "speaker float32 [time, batch, 7]"],
        ["outputs float32 [time, batch, 5]"],
    ),
    "two heads": (
        Alone(lambda net, x: [net.head(y := net.gru(x)[0]), net.value(y)]),
        X,
        ["inputs float32 [time, batch, 4]", STATE],
        ["outputs_0 float32 [time, batch, 3]", "outputs_1 float32 [time, batch, 1]"],
    ),
    "a part of the state": (
        Alone(lambda net, x: (net.head(net.lstm(x)[0]), net.lstm(x)[1][0][-1])),
        X,
        ["inputs float32 [time, batch, 4]"],
        ["outputs_0 float32 [time, batch, 3]", "outputs_1 float32 [batch, 5]"],
    ),
    "a memory that is looked at": (
        WithSpeaker(lambda net, x, memory: torch.einsum("tbh,bsh->tbs", net.gru(x)[0], memory)),
        (X, torch.randn(2, 3, 5)),
        ["x float32 [time, batch, 4]", "speaker float32 [batch, speaker_length, 5]", STATE],
        ["outputs float32 [time, batch, speaker_length]"],
    ),
    "a second argument that is not read": (
        WithMore(lambda net, x: (net.head(y := net.rnn(x)[0]), net.value(y[-1]))),
        X,
        ["inputs float32 [time, batch, 4]", STATE],
        ["outputs_0 float32 [time, batch, 3]", "outputs_1 float32 [batch, 1]"],
    ),
    "features beside a state that is not taken": (
        Alone(lambda net, x: (net.head(net.lstm(x)[0]), *net.lstm(x))),
        X,
        ["inputs float32 [time, batch, 4]"],
        [
            "outputs_0 float32 [time, batch, 3]",
            "outputs_1 float32 [time, batch, 5]",
            "outputs_2 float32 [1, batch, 5]",
            "outputs_3 float32 [1, batch, 5]",
        ],
    ),
}


@pytest.mark.several(4)
@pytest.mark.parametrize(("net", "example", "takes", "gives"), READ.values(), ids=list(READ))
def test_what_is_no_state_is_an_input_or_an_output(
    net: nn.Module, example: Any, takes: list[str], gives: list[str]
) -> None:
    signature = inspect_export(net.eval(), example).signature
    assert [f"{spec.name} {spec}" for spec in signature.arguments] == takes
    assert [f"{spec.name} {spec}" for spec in signature.outputs] == gives


def test_a_state_of_a_submodule_that_comes_out_is_one() -> None:
    def run(net: Net, x: Tensor) -> Any:
        y, state = net.lstm(x)
        return net.head(y), state

    subject = inspect_export(Alone(run).eval(), X)
    assert [leaf.shape for leaf in subject.signature.state] == [(1, "batch", 5)] * 2
    assert subject.signature.streamable


def test_a_first_state_that_does_not_come_back_is_one_if_begin_state_says_so() -> None:
    signature = inspect_export(OutputsAlone().eval(), (torch.randn(6, 2, 4), torch.zeros(2, 4))).signature
    assert not signature.returns_state


def test_a_cell_that_may_be_read_two_ways_is_refused() -> None:
    def run(net: Net, x: Tensor, state: Any) -> Any:
        h, c = net.cell(x, state)
        return h, c, net.same(h)

    with pytest.raises(
        InputError, match=r"to see which of the tensors is the output.*Return \(output, state\)"
    ):
        inspect_export(WithSpeaker(run).eval(), (X[0], (H, H)), step=True)


def test_a_cell_whose_state_is_in_a_tuple_is_read_one_way() -> None:
    def run(net: Net, x: Tensor, state: Any) -> Any:
        h, c = net.cell(x, state)
        return net.same(h), (h, c)

    assert len(inspect_export(WithSpeaker(run).eval(), (X[0], (H, H)), step=True).signature.state) == 2


@pytest.mark.parametrize(
    ("state", "got"),
    [
        (H.to(torch.int32), r"int32 \[2, 5\].* whole numbers to int64"),
        (H.to(torch.uint8), r"uint8 \[2, 5\].* whole numbers to int64"),
    ],
)
def test_other_kinds_of_a_state_are_refused(state: Any, got: str) -> None:
    with pytest.raises(InputError, match=rf"example 'state'.*: expected .*, got {got}"):
        inspect_export(WithSpeaker(lambda net, x, state: (x, state)).eval(), (X, state))


@pytest.mark.parametrize("inputs", [X.to("meta"), X.to_sparse()])
def test_tensors_without_numbers_are_refused(inputs: Tensor) -> None:
    with pytest.raises(
        InputError, match="example: expected tensors with numbers of their own, in a dense layout"
    ):
        inspect_export(nn.GRU(4, 5).eval(), inputs)


def test_outputs_without_a_number_are_refused() -> None:
    with pytest.raises(ModelError, match=r"result of forward\(\): expected at least one number, got float32"):
        inspect_export(Alone(lambda net, x: net.gru(x)[0][..., :0]).eval(), X)


def test_complex_numbers_that_come_out_are_pairs() -> None:
    with pytest.warns(ExportWarning, match="complex numbers. In its files each is two"):
        found = inspect_export(Alone(lambda net, x: torch.complex(*[net.gru(x)[0]] * 2)).eval(), X)
    assert found.signature.outputs[0].shape == ("time", "batch", 5, 2)


class Maximum(WithSpeaker):
    start = -torch.inf

    def begin_state(self, batch_size: int, device: torch.device) -> Tensor:
        return torch.full((batch_size, 4), self.start)


def most_so_far(net: Net, x: Tensor, most: Tensor) -> Any:
    return x, torch.maximum(most, x.amax(0))


def test_a_state_may_begin_at_infinity() -> None:
    [leaf] = inspect_export(Maximum(most_so_far).eval(), X).signature.state
    assert leaf.initial == -torch.inf


def test_a_state_that_begins_at_nan_is_refused() -> None:
    model = Maximum(most_so_far).eval()
    model.start = torch.nan
    with pytest.raises(ModelError, match=r"begin_state\(\), tensor 0: expected numbers, got nan"):
        inspect_export(model, X)


class Kept(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 5)
        self.register_buffer("last", torch.zeros(1, 2, 5))

    def forward(self, x: Tensor) -> Tensor:
        y, self.last = self.gru(x, self.last)
        return y


class Renormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(20, 4, max_norm=1.0), nn.GRU(4, 5)

    def forward(self, x: Tensor) -> Any:
        return self.gru(self.embed(x))


def test_a_buffer_that_is_made_for_a_batch_is_a_state() -> None:
    subject = inspect_export(Kept().eval(), X)
    assert [leaf.shape for leaf in subject.signature.state] == [(1, "batch", 5)]


def test_weights_that_a_call_changes_are_named() -> None:
    with pytest.raises(
        ModelError, match=r"parameters that stay as they are, got new numbers in embed.weight"
    ):
        inspect_export(Renormed().eval(), torch.randint(0, 20, (6, 2)))


def test_a_module_may_change_its_arguments() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.read = nn.Linear(4, 5)

        def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            outputs = [h.add_(self.read(x_t)).tanh_().clone() for x_t in x.mul_(0.5)]
            return torch.stack(outputs), h

    inputs, state = X.clone(), H.clone()
    subject = inspect_export(InPlace().eval(), (inputs, state))
    assert subject.calling.in_place
    assert torch.equal(inputs, X)
    assert torch.equal(state, H)
    assert subject.signature.streamable


@pytest.mark.parametrize(
    ("run", "remedy"),
    [
        (
            lambda net, x: net.value(net.gru(x)[0]).view([n for n in x[..., :1].shape if n > 1]),
            r"name the axis of squeeze\(\), and sizes in view\(\)",
        ),
        (lambda net, x: net.gru(x)[0][: len(x) if len(x) < 50 else 9], "one output for each time step"),
    ],
)
def test_outputs_of_other_shapes_say_what_to_do(run: Callable[..., Any], remedy: str) -> None:
    with pytest.raises(RnnExportError, match=remedy):
        inspect_export(Alone(run).eval(), X)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # said by upstream's compiler
def test_what_torch_compile_made_is_exported_as_it_was_before() -> None:
    net = nn.Sequential(nn.Linear(4, 4), torch.compile(nn.GRU(4, 5)))
    for model, wanted in ((torch.compile(nn.GRU(4, 5)), nn.GRU), (net, nn.Sequential)):
        subject = inspect_export(model.eval(), X)
        assert type(subject.original) is wanted
        assert not any(hasattr(module, "_orig_mod") for module in subject.model.modules())


QUANTIZED = {"dynamic": torch.qint8, "half precision": torch.float16}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # said by upstream
@pytest.mark.parametrize("dtype", QUANTIZED.values(), ids=QUANTIZED)
def test_quantized_weights_are_refused_before_anything_else(dtype: torch.dtype) -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(4, 5)).eval(), {nn.LSTM}, dtype)
    with pytest.raises(ModelError, match=r"Sequential: expected weights in floating .*, got quantized .* 0"):
        inspect_export(model, X)


def test_a_quantized_tensor_is_refused() -> None:
    model = nn.GRU(4, 5)
    model.table = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(ModelError, match=r"GRU: expected weights in floating .* Export the module as it"):
        inspect_export(model.eval(), X)


def test_what_is_said_of_the_axes_holds_for_every_form_of_the_module() -> None:
    def run(net: Net, x: Tensor) -> Any:
        y = torch.relu(net.same(x))  # rows and time steps alike: nothing tells them apart
        return net.head(y), net.value(y)

    square, said = torch.randn(3, 3, 5), Said(axes={"x": ("batch", "time", None)})
    with pytest.raises(InputError, match=r"Or say it: export\(..., axes="):
        inspect_export(Alone(run).eval(), square)
    signature = inspect_export(Alone(run).eval(), square, said=said).signature
    assert [spec.shape[:2] for spec in (*signature.inputs, *signature.outputs)] == [("batch", "time")] * 3
