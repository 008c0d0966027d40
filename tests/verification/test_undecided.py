"""Whole numbers that rounding may turn into others: allowed where that is so, and nowhere else."""

import numpy as np
import pytest
import torch
from torch import Tensor

from rnn_export.bundle.golden import LARGE, ORDINARY, Golden
from rnn_export.errors import VerificationError
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.verification import grid, tolerance
from tests.support.odd_values import SIZE, Chosen, built

X = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return find_streaming(inspect_module(built("chosen"), (X, torch.zeros(2, SIZE))))


@pytest.fixture(scope="module")
def golden(subject: Subject) -> Golden:
    return grid.build(subject)


def share(golden: Golden, values: str) -> float:
    found = [case.undecided[0] for case in golden.cases if case.values == values]
    return sum(map(np.sum, found)) / sum(each.size for each in found)


def test_places_are_undecided_where_units_saturate(golden: Golden) -> None:
    assert share(golden, ORDINARY) < 0.25
    assert share(golden, LARGE) > 0.5


def test_eager_in_float32_is_right_everywhere(golden: Golden, subject: Subject) -> None:
    allowed = tolerance.bounds(golden.cases, subject.signature)
    for case in golden.cases:
        found = tolerance.deviation(case, case.float32, allowed[case.name], subject.signature)
        assert found.share <= 1, f"{case.name}: {found.where}"


@pytest.mark.parametrize("values", [ORDINARY, LARGE])
def test_another_choice_is_wrong_where_it_is_decided(values: str, golden: Golden, subject: Subject) -> None:
    allowed = tolerance.bounds(golden.cases, subject.signature)
    for case in (case for case in golden.cases if case.values == values):
        outputs, *state = case.float32
        place = tuple(np.argwhere(~case.undecided[0])[0])
        changed = outputs.copy()
        changed[place] = (changed[place] + 1) % SIZE
        found = tolerance.deviation(case, [changed, *state], allowed[case.name], subject.signature)
        assert found.share > 1, case.name


def test_a_choice_that_the_model_never_makes_is_wrong(golden: Golden, subject: Subject) -> None:
    allowed = tolerance.bounds(golden.cases, subject.signature)
    case = next(case for case in golden.cases if case.undecided[0].any())
    outputs, *state = case.float32
    changed = np.where(case.undecided[0], 3 * SIZE, outputs)
    assert tolerance.deviation(case, [changed, *state], allowed[case.name], subject.signature).share > 1


class Saturated(Chosen):
    def forward(self, inputs: Tensor, h: Tensor):  # type: ignore[no-untyped-def]
        out = []
        for x in inputs.unbind(0):
            h = torch.tanh(self.x(x) + self.h(h))
            out.append(torch.tanh(50 + h).argmax(-1))
        return torch.stack(out), h


def test_a_model_of_which_nothing_is_decided_is_refused() -> None:
    torch.manual_seed(0)
    found = find_streaming(inspect_module(Saturated().eval(), (X, torch.zeros(2, SIZE))))
    expected = (
        "whole numbers and truth values that Saturated gives: expected at most 50% that rounding can turn"
    )
    with pytest.raises(VerificationError, match=expected):
        grid.build(found)
