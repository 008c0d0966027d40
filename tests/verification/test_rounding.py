"""Rounding put into float64 is as large as that of float32, whatever operations a module is made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from rnn_export.bundle.golden import NON_FINITE
from rnn_export.module import eager
from rnn_export.module.inspection import inspect_export
from rnn_export.module.reading import inspect_module
from rnn_export.verification import grid, tolerance
from rnn_export.verification.rounding import RUNS, Rounding, RoundingOfWeights, spread
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


def test_what_is_computed_of_weights_alone_is_off_by_the_same_each_time() -> None:
    weight = nn.Parameter(torch.linspace(-3, 3, 101, dtype=torch.float64))
    x, exact = torch.rand(101, dtype=torch.float64), torch.exp(weight.detach())
    mode = RoundingOfWeights([weight], float(EPS), 0)
    with torch.inference_mode(), mode:
        once, twice, times = torch.exp(weight), torch.exp(weight), torch.exp(x * 2)
    error = (once - exact).abs() / exact
    assert torch.equal(once, twice)
    assert 0.9 * EPS < error.max() <= EPS
    assert torch.equal(times, torch.exp(x * 2))
    assert mode.rounded


class SlowDecay(nn.Module):
    """A linear recurrence whose factors, near 1, are computed anew in each call."""

    def __init__(self) -> None:
        super().__init__()
        rates = torch.linspace(-4, -2, 4000)
        error = (self.kept(rates) - self.kept(rates.double())).abs()
        self.rate = nn.Parameter(rates[error.argsort()[:40]])  # of which eager rounds the factor best

    def kept(self, rate: torch.Tensor) -> torch.Tensor:
        return torch.exp(-torch.exp(rate))

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept = self.kept(self.rate)
        outputs = []
        for x_t in x:
            h = kept * h + x_t * 2**-10
            outputs.append(h)
        return torch.stack(outputs), h


def test_long_runs_may_be_off_by_a_rounding_of_a_factor_in_each_time_step() -> None:
    """Factors one bit off make right files; eager is no measure of it where it happens to hit them."""
    torch.manual_seed(0)
    model = SlowDecay().eval()
    subject = inspect_export(model, (torch.randn(60, 2, 40), torch.zeros(2, 40)))
    cases = [case for case in grid.build(subject).cases if case.values != NON_FINITE]
    allowed = tolerance.bounds(cases, subject.signature)
    kept = model.kept(model.rate.detach()).numpy()
    for up in (0, 2):  # the floats beside
        near = np.nextafter(kept, np.float32(up))
        for case in cases:
            x, h = case.arguments
            for x_t in x:
                h = near * h + x_t * np.float32(2**-10)
            assert (np.abs(h - case.float64[-1]) <= allowed[case.name][-1]).all(), case.name


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
