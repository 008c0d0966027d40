"""A module runs in float64 whatever dtypes it names, and nobody else notices."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_export.module import eager, precision
from rnn_export.module.precision import InPrecision
from rnn_export.module.reading import inspect_module

IDS, SCALE = torch.tensor([1, 0, 2]), torch.tensor([0.5, 0.25, 2.0])
X = torch.rand(4, 3, dtype=torch.float64)
EPS = torch.finfo(torch.float32).eps


def normalized(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPS)


def wide(function: Callable[[Tensor], Tensor], x: Tensor = X) -> Tensor:
    with torch.no_grad():
        return InPrecision(torch.float32, torch.float64)(lambda: function(x.clone()))


def changed_in_place(x: Tensor) -> Tensor:
    own = torch.tensor([0.0, 0.0, 0.0])
    own += x[0]
    own[1] = 7.0
    return own


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda x: x.float(), X),
        (lambda x: x.to(torch.float32) * 3, X * 3),
        (lambda x: x.type(torch.float32), X),
        (lambda x: x.to(SCALE), X),
        (lambda x: functional.one_hot(IDS, 3).float() @ x.T, functional.one_hot(IDS, 3).double() @ X.T),
        (lambda x: x @ SCALE, X @ SCALE.double()),
        (lambda x: torch.zeros(4, 3, dtype=torch.float32) + x, X),
        (lambda x: torch.mm(torch.eye(4), x), X),
        (lambda x: torch.cat([x, torch.zeros(1, 3)]), torch.cat([X, X[:1] * 0])),
        (lambda x: torch.softmax(x, 1, dtype=torch.float32), torch.softmax(X, 1)),
        (lambda x: x.new_zeros(2, dtype=x.dtype) + 1, torch.ones(2, dtype=torch.float64)),
        (lambda x: x / torch.finfo(x.dtype).eps, X / EPS),
        (
            lambda x: functional.rms_norm(x * 1e-4, (3,)),
            X * 1e-4 * torch.rsqrt((X * 1e-4).square().mean(1, True) + EPS),
        ),
        (lambda x: torch.nan_to_num(x / 0), torch.full_like(X, torch.finfo(torch.float32).max)),
        (lambda x: torch.complex(x, x).to(torch.complex64).abs(), torch.complex(X, X).abs()),
        (changed_in_place, torch.stack([X[0, 0], torch.tensor(7.0), X[0, 2]])),
    ],
)
def test_every_dtype_that_is_named_is_the_wider_one(
    function: Callable[[Tensor], Tensor], wanted: Tensor
) -> None:
    got = wide(function)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, wanted, rtol=1e-14, atol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_module_is_converted_inside() -> None:
    class Steps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0.5).float() * torch.zeros(3).add(x)

    scripted = torch.jit.script(Steps())
    torch.testing.assert_close(wide(scripted), (X > 0.5) * X, rtol=1e-14, atol=0)


def test_a_float32_tensor_that_is_not_the_modules_is_changed_for_its_owner() -> None:
    kept = torch.zeros(3)
    wide(lambda x: kept.add_(x[0]))
    torch.testing.assert_close(kept, X[0].float())


def test_a_function_that_names_no_dtype_is_run_as_it_is_from_its_second_run_on() -> None:
    run = InPrecision(torch.float32, torch.float64)
    assert run.met
    run(lambda: torch.tanh(X))
    assert not run.met
    torch.testing.assert_close(run(lambda: X @ SCALE), X @ SCALE.double(), rtol=1e-14, atol=0)  # it fails


def test_a_function_that_asks_for_no_dtype_has_its_numbers_converted_all_the_same() -> None:
    run, seen = InPrecision(torch.float32, torch.float64), []

    def function(*, asks: bool) -> Tensor:
        seen.append(X.dtype if asks else None)
        return X @ torch.ones(3)

    run(lambda: function(asks=False))
    assert (run.asked, run.met) == (False, True)
    assert run(lambda: function(asks=True)).dtype == seen[-1] == torch.float64
    run = InPrecision(torch.float32, torch.float64)
    run(lambda: function(asks=True))
    assert (run.asked, run.met) == (True, True)
    assert seen[-1] == torch.float32


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read, self.scale = nn.Linear(3, 3), torch.tensor([0.5, 1.0, 2.0])

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        for x_t in x:
            h = torch.tanh(self.read(x_t) + h @ torch.diag(self.scale) + torch.ones(3)) * (h > 0).float()
        return h, h


def test_eager_in_float64_is_seen_by_no_other_thread() -> None:
    torch.manual_seed(0)
    subject = inspect_module(Plain(), (torch.randn(5, 2, 3), torch.zeros(2, 3)))
    call = eager.start(subject, torch.float64)
    seen, ended = set(), threading.Event()

    def watch() -> None:
        while not ended.is_set():
            seen.add(torch.get_default_dtype())

    watcher = threading.Thread(target=watch)
    watcher.start()
    arguments = np.ones((40, 2, 3), np.float32), np.ones((2, 3), np.float32)
    results = call(*arguments)
    ended.set()
    watcher.join()
    assert {result.dtype for result in results} == {np.dtype(np.float64)}
    assert seen == {torch.float32}


def test_a_module_of_float64_runs_in_float32() -> None:
    torch.manual_seed(0)
    subject = inspect_module(
        nn.GRU(3, 4).double(), (torch.randn(5, 2, 3, dtype=torch.float64), torch.zeros(1, 2, 4).double())
    )
    single, double = (eager.start(subject, dtype) for dtype in (torch.float32, torch.float64))
    arguments = np.ones((4, 2, 3)), np.zeros((1, 2, 4))
    assert {result.dtype for result in single(*arguments)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(single(*arguments)[0], double(*arguments)[0], atol=1e-6)


def test_a_net_that_names_no_dtype_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = inspect_module(nn.GRU(4, 5).eval(), torch.randn(7, 3, 4))
    call = eager.start(subject, torch.float64)
    arguments = [subject.inputs[0].numpy(), *subject.signature.initial_state(3)]
    first = call(*arguments)
    monkeypatch.setattr(precision, "Converted", None)  # what would look at every operation
    assert all((one == two).all() for one, two in zip(call(*arguments), first, strict=True))
