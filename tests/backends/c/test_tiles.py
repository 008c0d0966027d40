"""How gates are cut into tiles, and where their weights stand then."""

import numpy as np
import pytest

from rnn_export.backends.c.plan.tiles import Gates, columns, cuts, interleaved
from rnn_export.backends.c.trace.graph import Affine, Vector, Weight

DEPTH = 3  # rows of a matrix


@pytest.mark.parametrize("units", [1, 7, 8, 9, 16, 20, 24, 25, 40, 64, 72])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_weight_stands_where_its_tile_reads_it(units: int, count: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(DEPTH, count * units)).astype(np.float32)
    operation = Affine((), matrices=(Weight.of(matrix, "W"),))
    known = Gates(Vector(operation, count * units), operation, tuple(units * gate for gate in range(count)))
    tiles = cuts(count, units)
    packed, found = interleaved(matrix, known, units, tiles), np.zeros((DEPTH, count, units + 64), np.float32)
    at = 0
    for cut in tiles:
        for first in range(cut.first, cut.end, cut.panel):
            size = DEPTH * columns(cut, known)
            panel = packed[at : at + size].reshape(DEPTH, -1, cut.panel)[:, :count]
            found[:, :, first : first + cut.panel] += panel
            at += size
    assert at == packed.size
    np.testing.assert_array_equal(found[:, :, :units], matrix.reshape(DEPTH, count, units))
    assert not found[:, :, units:].any()


def test_units_that_are_left_share_vectors() -> None:
    assert [cut.panel for cut in cuts(4, 40)] == [16, 8]
    assert [cut.panel for cut in cuts(4, 41)] == [16]  # more than half a vector
    assert [cut.panel for cut in cuts(1, 40)] == [48]  # there is nothing to share it with
