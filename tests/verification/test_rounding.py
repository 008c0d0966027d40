"""Rounding put into float64 is as large as that of float32, whatever operations a module is made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.verification.rounding import RUNS, Rounding, spread
from tests.support.cases import CASES, ModelCase

EPS = np.finfo(np.float32).eps


def inside(function, *arguments: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), Rounding(float(EPS), 0):
        return function(*arguments)


def test_an_operation_is_off_by_eps_of_its_result() -> None:
    x = torch.linspace(-3, 3, 1001, dtype=torch.float64)
    error = (inside(torch.tanh, x) - torch.tanh(x)).abs() / torch.tanh(x).abs().clamp(min=1e-300)
    assert 0.9 * EPS < error.max() <= EPS


@pytest.mark.parametrize("size", [4, 64, 1024])
def test_a_product_is_off_by_eps_of_the_magnitudes_summed(size: int) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(50, size, dtype=torch.float64), torch.randn(size, 50, dtype=torch.float64)
    products = {
        "mm": (inside(torch.matmul, a, b), a @ b, a.abs() @ b.abs()),
        "linear": (inside(nn.functional.linear, a, b.T), a @ b, a.abs() @ b.abs()),
        "einsum": (inside(lambda *x: torch.einsum("ik,kj->ij", *x), a, b), a @ b, a.abs() @ b.abs()),
    }
    for name, (got, want, magnitude) in products.items():
        assert 0.9 * EPS < ((got - want).abs() / magnitude).max() <= EPS, name


def test_what_moves_numbers_is_exact() -> None:
    x = torch.randn(6, 4, dtype=torch.float64)
    assert torch.equal(
        inside(lambda x: torch.stack([x, x])[1].T.clone()[:, 2:].reshape(-1), x), x[2:].T.reshape(-1)
    )


def test_operations_that_write_in_place_and_give_several_results_round_too() -> None:
    x = torch.rand(100, dtype=torch.float64) + 1
    assert not torch.equal(inside(lambda x: x.clone().mul_(3), x), x * 3)
    assert torch.equal(inside(lambda x: x.topk(3).indices, x), x.topk(3).indices)
    assert not torch.equal(
        inside(lambda x: nn.functional.layer_norm(x, [100]), x), nn.functional.layer_norm(x, [100])
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.streamable], ids=lambda case: case.name)
def test_it_grants_what_eager_needs_in_a_step_and_not_much_more(case: ModelCase) -> None:
    """Eager's float32 is one more sample: within what is granted, which is not many times as much."""
    subject = inspect_module(*case.build())
    single, double = (eager.start(subject, dtype) for dtype in (torch.float32, torch.float64))
    random = np.random.default_rng(0)
    inputs = np.concatenate([subject.inputs[0][:1].numpy()] * 20, axis=1)
    if inputs.dtype.kind == "f":
        inputs = random.standard_normal(inputs.shape).astype(np.float32)
    state = [
        random.standard_normal(leaf.shape).astype(np.float32) if leaf.dtype.kind == "f" else leaf
        for leaf in subject.signature.initial_state(inputs.shape[1])
    ]
    right = double(inputs, *state)
    signature = replace(subject.signature, outputs=(replace(subject.signature.outputs[0], dtype="float32"),))
    margins, terms = spread(double, (inputs, *state), right, signature)
    assert 1 <= terms <= 100
    for got, want, margin in zip(single(inputs, *state), right, margins, strict=True):
        error, granted = np.abs(got - want).max(), np.sqrt(terms) * margin.max()
        assert error <= granted <= 100 * max(error, EPS * np.abs(want).max()) or error == granted == 0


def test_it_is_the_same_every_time(rnn: ModelCase) -> None:
    subject = inspect_module(*rnn.build())
    call = eager.start(subject, torch.float64)
    arguments = (subject.inputs[0].numpy(), *(leaf.numpy() for leaf in subject.state))
    right = call(*arguments)
    one, other = (spread(call, arguments, right, subject.signature) for _ in range(2))
    assert one[1] == other[1]
    for first, second in zip(one[0], other[0], strict=True):
        assert np.array_equal(first, second)
        assert first.any()
    assert RUNS > 1
