"""The copy of a module whose matrices are rounded."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from rnn_export.errors import InputError, ModelError
from rnn_export.module.reading import inspect_module
from rnn_export.module.rounded_weights import check_format, with_rounded_weights
from rnn_export.program.small_weights import INT8, channels_of, is_bf16


class Net(nn.Module):
    """A layer of matrices, biases, a gain that multiplies number by number, and a first state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(5, 8), nn.Linear(8, 3)
        self.gain, self.first = nn.Parameter(torch.rand(1, 3)), nn.Parameter(torch.rand(1, 1, 8))

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run it."""
        state = self.first.expand(1, inputs.shape[1], 8).contiguous() if state is None else state
        outputs, state = self.layer(inputs, state)
        return self.head(outputs) * self.gain, state


EXAMPLE = (torch.randn(4, 2, 5), torch.zeros(1, 2, 8))


def test_matrices_are_rounded_and_nothing_else() -> None:
    net = Net()
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    twin, weights = with_rounded_weights(net, EXAMPLE, None, INT8)
    assert set(weights.matrices) == {"layer.weight_ih_l0", "layer.weight_hh_l0", "head.weight"}
    assert weights.kept == ("gain", "first")
    for name, parameter in twin.named_parameters():
        assert torch.equal(parameter, before[name]) == (name not in weights.matrices)
        if name in weights.matrices:
            assert channels_of(parameter.detach().numpy().T) is not None
    assert all(torch.equal(parameter, before[name]) for name, parameter in net.named_parameters())


def test_bf16_needs_no_channels() -> None:
    twin, weights = with_rounded_weights(Net(), EXAMPLE, None, "bf16")
    own = dict(twin.named_parameters())
    assert all(is_bf16(own[name].detach().numpy()) for name in weights.matrices)


def test_it_is_undone_within_what_is_around_the_module() -> None:
    net = Net()
    twin, weights = with_rounded_weights(net, EXAMPLE, None, INT8)
    subject = weights.undone(inspect_module(twin, EXAMPLE))
    inputs = torch.randn(3, 2, 5)
    with torch.no_grad():
        assert torch.equal(subject.model(inputs, EXAMPLE[1])[0], net(inputs, EXAMPLE[1])[0])
        assert not torch.equal(twin(inputs, EXAMPLE[1])[0], net(inputs, EXAMPLE[1])[0])


def test_weights_that_are_computed_in_each_call_are_rounded_as_they_are() -> None:
    twin, weights = with_rounded_weights(weight_norm(nn.Linear(6, 4)), torch.randn(2, 3, 6), None, INT8)
    assert list(weights.matrices) == ["weight"]
    assert channels_of(dict(twin.named_parameters())["weight"].detach().numpy().T) is not None


def test_training_mode_stays_what_it_was() -> None:
    net = Net()
    net.head.eval()
    twin, _ = with_rounded_weights(net, EXAMPLE, None, INT8)
    assert twin.training
    assert not twin.get_submodule("head").training


def test_float32_is_the_module_itself() -> None:
    net = Net()
    assert with_rounded_weights(net, EXAMPLE, None, "float32")[0] is net


def test_what_cannot_be_rounded_is_refused() -> None:
    with pytest.raises(ModelError, match="expected float32, to be rounded to int8, got float64"):
        with_rounded_weights(Net().double(), tuple(each.double() for each in EXAMPLE), None, INT8)
    with pytest.raises(ModelError, match=r"parameters of .*Sequential.*none that a product"):
        with_rounded_weights(nn.Sequential(nn.Tanh()), torch.randn(2, 3, 6), None, INT8)
    with pytest.raises(InputError, match=r"Linear failed on \[float32 \[2, 3, 5\]\]"):
        with_rounded_weights(nn.Linear(6, 4), torch.randn(2, 3, 5), None, INT8)
    with pytest.raises(InputError, match="weights: expected one of float32, bf16, int8, got 'int4'"):
        check_format("int4")
