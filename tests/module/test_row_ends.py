"""Nets that take the number of time steps of each row: they stream if they run forward only."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_export.capture.step import TRACED_BATCH
from rnn_export.module.inspection import inspect_export
from rnn_export.module.unpacked import COMPUTED_COUNTS, FullRows
from rnn_export.program.quiet import quiet
from rnn_export.signature.tree import map_leaves, tree_leaves
from tests.support.counted import STREAMED, WHOLE, Counted, Packed

TIMES, ROWS = 6, 3
EVERY_DAY = ("a state", "sorted by hand", "inputs behind the end", "lengths that come back")


def daily(table: Iterable[str]) -> list[Any]:
    """Give the names of a table, most of them for the exhaustive tests alone."""
    return [pytest.param(name, marks=[] if name in EVERY_DAY else pytest.mark.exhaustive) for name in table]


some = pytest.mark.parametrize("name", daily(STREAMED))


def full_rows(counted: Counted) -> tuple[nn.Module, FullRows]:
    torch.manual_seed(0)
    net = counted.make().eval()
    axes = (1, 0) if counted.batch_first else (0, 1)
    return net, FullRows(net, (False, True), axes[:1], axes[1:]).eval()


@pytest.mark.parametrize("counted", STREAMED.values(), ids=STREAMED)
def test_full_rows_need_no_packing(counted: Counted) -> None:
    net, full = full_rows(counted)
    x, _, *state = counted.draw(TIMES, ROWS)
    want, got = net(x, torch.full((ROWS,), TIMES), *state), full(x, *state)
    for one, other in zip(tree_leaves(got), tree_leaves(want), strict=True):
        torch.testing.assert_close(one, other)


@some
def test_a_step_of_full_rows_is_traced_without_packing_and_sorting(name: str) -> None:
    _, full = full_rows(STREAMED[name])
    x, _, *state = STREAMED[name].draw(1, TRACED_BATCH)
    rows = torch.export.Dim("rows")
    free = (
        {0: rows} if STREAMED[name].batch_first else {1: rows},
        *map_leaves(state, lambda leaf: {1: rows}),
    )
    with quiet():
        traced = torch.export.export(full, (x, *state), dynamic_shapes=(free,))
    called = {str(node.target) for node in traced.graph.nodes if node.op == "call_function"}
    assert called
    assert not [name for name in called if "pack" in name or "sort" in name or "index_select" in name]


@some
def test_a_net_that_counts_time_steps_streams(name: str) -> None:
    torch.manual_seed(0)
    signature = inspect_export(STREAMED[name].make().eval(), STREAMED[name].draw(TIMES, ROWS)).signature
    assert (signature.streamable, signature.lengths) == (True, True)
    assert [spec.name for spec in signature.inputs] == ["inputs"]


def test_what_stands_behind_the_end_of_a_row_is_found() -> None:
    torch.manual_seed(0)
    net = STREAMED["padding and a layer behind"].make().eval()
    [output] = inspect_export(net, STREAMED["padding and a layer behind"].draw(TIMES, ROWS)).signature.outputs
    torch.testing.assert_close(torch.tensor(output.padding), net.head(torch.full((5,), 0.5)))  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("name", daily(WHOLE))
def test_what_does_not_stream_takes_its_numbers_as_they_are(name: str) -> None:
    torch.manual_seed(0)
    signature = inspect_export(WHOLE[name].make().eval(), WHOLE[name].draw(TIMES, ROWS)).signature
    assert (signature.streamable, signature.lengths) == (False, False)
    assert [spec.role for spec in signature.inputs] == ["sequence", "lengths"]


class Named(Packed):
    """Gives the lengths back under the name that they have."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        return {"y": super().forward(x, lengths), "lengths": lengths}


def test_lengths_that_come_back_under_their_name_are_no_state() -> None:
    given = {"lengths": torch.tensor([7, 2, 4])}
    signature = inspect_export(Named().eval(), (torch.randn(3, 7, 4),), kwargs=given).signature
    assert [spec.role for spec in signature.inputs] == ["sequence", "lengths"]
    assert [str(spec) for spec in signature.outputs] == ["float32 [batch, time, 3]", "int64 [batch]"]


class Computed(nn.Module):
    """Computes the numbers of time steps from what it takes: from ids, or from a mask beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.gru = nn.Embedding(11, 4, padding_idx=0), nn.GRU(4, 5, batch_first=True)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        lengths = ((ids != 0) if mask is None else mask).sum(1)
        x = pack_padded_sequence(self.embed(ids), lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(x)[0], True, total_length=ids.shape[1])[0]


@pytest.mark.parametrize("with_mask", [False, True])
def test_numbers_that_are_computed_are_to_be_arguments(with_mask: bool) -> None:
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 0, 0, 0], [8, 9, 7, 9, 3, 2, 0]])
    signature = inspect_export(Computed().eval(), (ids, ids != 0) if with_mask else (ids,)).signature
    assert not signature.streamable
    assert signature.not_streamable_because == COMPUTED_COUNTS
