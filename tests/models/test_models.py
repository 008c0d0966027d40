"""The nets themselves: their arithmetic, and what a user does with them."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from rnn_export.models import CharRNN, GRUScratch, LSTMScratch, RNNScratch
from rnn_export.signature.tree import tree_leaves
from tests.support.cases import CASES, CPU, ModelCase, each_case

T, B, I, H, Q = 5, 3, 4, 6, 2  # noqa: E741


def randomised(net: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.5)
    return net.double().requires_grad_(False)


def output_layer(net: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    return hidden @ net.W_hq + net.b_q


def test_rnn_is_torch_nn_rnn() -> None:
    net = randomised(RNNScratch(I, H, Q))
    theirs = nn.RNN(I, H).double()
    theirs.load_state_dict(
        {
            "weight_ih_l0": net.W_xh.T,
            "weight_hh_l0": net.W_hh.T,
            "bias_ih_l0": net.b_h,
            "bias_hh_l0": 0 * net.b_h,
        }
    )
    inputs, state = torch.randn(T, B, I).double(), torch.randn(B, H).double()
    outputs, (last,) = net(inputs, (state,))
    hidden, their_last = theirs(inputs, state[None])
    torch.testing.assert_close(outputs, output_layer(net, hidden))
    torch.testing.assert_close(last, their_last[0])


def test_lstm_is_torch_nn_lstm() -> None:
    net = randomised(LSTMScratch(I, H, Q))
    theirs = nn.LSTM(I, H).double()
    order = "ifco"  # torch packs its gates in this order
    theirs.load_state_dict(
        {
            "weight_ih_l0": torch.cat([getattr(net, f"W_x{gate}").T for gate in order]),
            "weight_hh_l0": torch.cat([getattr(net, f"W_h{gate}").T for gate in order]),
            "bias_ih_l0": torch.cat([getattr(net, f"b_{gate}") for gate in order]),
            "bias_hh_l0": torch.zeros(4 * H),
        }
    )
    inputs, h, c = torch.randn(T, B, I).double(), torch.randn(B, H).double(), torch.randn(B, H).double()
    outputs, (last_h, last_c) = net(inputs, (h, c))
    hidden, (their_h, their_c) = theirs(inputs, (h[None], c[None]))
    torch.testing.assert_close(outputs, output_layer(net, hidden))
    torch.testing.assert_close((last_h, last_c), (their_h[0], their_c[0]))


def test_gru_is_the_onnx_operator() -> None:
    net = randomised(GRUScratch(I, H, Q))
    pack = lambda prefix: torch.cat([getattr(net, f"{prefix}{gate}").T for gate in "zrh"])[None].numpy()  # noqa: E731
    biases = torch.cat([net.b_z, net.b_r, net.b_h, torch.zeros(3 * H).double()])[None].numpy()
    node = helper.make_node(
        "GRU", ["X", "W", "R", "B", "", "h"], ["", "Y_h"], hidden_size=H, linear_before_reset=0
    )
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None)  # noqa: E731
    graph = helper.make_graph([node], "gru", [value(name) for name in "XWRBh"], [value("Y_h")])
    operator = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))

    x, state = torch.randn(1, B, I).double(), torch.randn(B, H).double()
    feeds = {"X": x.numpy(), "W": pack("W_x"), "R": pack("W_h"), "B": biases, "h": state[None].numpy()}
    [expected] = operator.run(None, feeds)
    outputs, (last,) = net(x, (state,))
    np.testing.assert_allclose(last.numpy(), expected[0], atol=1e-12)
    torch.testing.assert_close(outputs[0], output_layer(net, last))


@each_case
def test_is_trainable(case: ModelCase) -> None:
    model, (inputs, state) = case.build()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(5):
        outputs, _ = model(inputs, state)
        loss = outputs.square().mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


SCRATCH = [case for case in CASES if case.make().__module__.startswith("rnn_export.")]


@pytest.mark.parametrize("case", SCRATCH, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_state_and_outputs_follow_dtype_and_device(case: ModelCase, dtype: torch.dtype) -> None:
    model, (inputs, _) = case.build()
    model = model.to("meta", dtype)
    inputs = inputs.to("meta", dtype if inputs.is_floating_point() else torch.int64)
    state = model.begin_state(4, torch.device("meta"))
    outputs, new_state = model(inputs[:, :1].expand(-1, 4, *inputs.shape[2:]), state)
    assert outputs.shape[:2] == (inputs.shape[0], 4)
    for tensor in [outputs, *tree_leaves(state), *tree_leaves(new_state)]:
        assert (tensor.dtype, tensor.device.type) == (dtype, "meta")


def test_char_rnn_sees_one_hot_tokens() -> None:
    class Echo(nn.Module):
        def forward(self, inputs, state):
            return inputs, state

    logits, _ = CharRNN(3, Echo())(torch.tensor([[0, 2]]), ())
    assert logits.tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert logits.dtype == torch.float32


def test_initial_weights_are_small_and_biases_zero() -> None:
    net = RNNScratch(16, 32, 1, sigma=0.01)
    assert 0.005 < net.W_hh.std().item() < 0.02
    assert not net.b_h.any()
    assert not net.b_q.any()
    assert net.begin_state(2, CPU)[0].shape == (2, 32)
