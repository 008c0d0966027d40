"""How far rounding takes runs: copies of the module with errors in their weights, one at a time."""

from weakref import ref

import numpy as np
import pytest

from rnn_export.module import eager
from rnn_export.module.reading import inspect_module
from rnn_export.verification import disturbed, grid
from tests.support.cases import ModelCase


def test_one_copy_with_errors_is_there_at_a_time(rnn: ModelCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is as large as the module in float64."""
    copies, prepare = list[ref](), eager.prepare

    def prepared(subject, dtype, *, own=False):
        assert not own or not any(copy() for copy in copies)
        model = prepare(subject, dtype, own=own)
        copies.extend([ref(model)] if own else [])
        return model

    monkeypatch.setattr(eager, "prepare", prepared)
    golden = grid.build(inspect_module(*rnn.build()), quick=True)
    assert len(copies) == disturbed.COPIES
    far = [case for case in golden.cases if case.values == grid.LARGE and case.kind == grid.RUN]
    assert all(np.isfinite(most).all() for case in far for most in case.rounding)
    assert far[0].rounding
