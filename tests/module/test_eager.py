"""Eager PyTorch, the reference: what its copies of a module share, and what they do not."""

import numpy as np
import pytest
import torch

from rnn_export.models import GRUScratch
from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject


def subject() -> Subject:
    model = GRUScratch(4, 6, 3)
    return inspect_module(model, (torch.randn(5, 2, 4), model.begin_state(2, torch.device("cpu"))))


def places(model: torch.nn.Module) -> list[int]:
    return [parameter.data_ptr() for parameter in model.parameters()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_in_one_precision_share_their_parameters(dtype) -> None:
    """A large net is held once in float64, not once for each question that is asked of it."""
    given = subject()
    one, other = (eager.prepare(given, dtype) for _ in range(2))
    assert places(one) == places(other)
    assert not {*places(one)} & {*places(given.model)}


def test_a_copy_of_its_own_may_be_changed() -> None:
    given = subject()
    shared, own = eager.prepare(given, torch.float64), eager.prepare(given, torch.float64, own=True)
    assert not {*places(shared)} & {*places(own)}


def test_a_copy_has_the_numbers_that_the_parameters_have_now() -> None:
    given = subject()
    arguments = [tensor.numpy() for tensor in given.arguments]
    before = eager.start(given, torch.float64)
    first = before(*arguments)[0]
    with torch.no_grad():
        next(given.model.parameters()).mul_(2)
    after = eager.start(given, torch.float64)
    assert not np.allclose(first, after(*arguments)[0])
    np.testing.assert_array_equal(first, before(*arguments)[0])
