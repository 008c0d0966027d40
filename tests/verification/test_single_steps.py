"""How far rounding can take single steps does not depend on how many of them are run at once."""

import numpy as np
import pytest
import torch

from rnn_export.bundle.golden import STEP
from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.verification import grid, single_steps


def test_single_steps_are_run_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = inspect_module(torch.nn.GRU(3, 16), (torch.rand(5, 2, 3),))
    cases = [case for case in grid.build(subject, quick=True).cases if case.kind == STEP]
    double, rows = eager.start(subject, torch.float64), list[int]()

    def call(*arguments):
        rows.append(arguments[0].shape[1])
        return double(*arguments)

    whole, terms = single_steps._step_spreads(cases, call, subject.signature)
    most, rows = max(rows), []
    monkeypatch.setattr(single_steps, "MOST_AT_ONCE", 500)
    parts, same = single_steps._step_spreads(cases, call, subject.signature)
    assert max(rows) < most / 4
    assert (same, [*parts]) == (terms, [*whole])
    means = [np.mean([spread.mean() for [_, spread] in found.values()]) for found in (whole, parts)]
    assert means[0] == pytest.approx(means[1], rel=0.1)
    for case in cases:
        assert [spread.shape for spread in parts[case.name]] == [array.shape for array in case.float64]
