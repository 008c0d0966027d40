"""What upstream would fix sizes of is run another way, with the same results."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.backends import mha
from torch.nn import functional

from rnn_export.capture.around.free import sizes_left_free

POOLS: list[Callable[[Tensor], Tensor]] = [
    nn.MaxPool1d(2),
    nn.MaxPool1d(3, 2, 1),
    nn.MaxPool1d(2, dilation=3),
    nn.MaxPool1d(3, 1, 1, 1, ceil_mode=True),
    lambda x: torch.max_pool1d(x, 3, 2, 1, 1, True),
    lambda x: functional.max_pool1d(x, (2,), [3]),
    lambda x: functional.max_pool1d(x[0], kernel_size=2),
    lambda x: functional.max_pool1d(x, 2, return_indices=True)[1],
]


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_gives_the_same(pool: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(2, 3, 25)
    want = pool(x)
    with sizes_left_free():
        assert torch.equal(pool(x), want)


def test_pooling_over_time_leaves_its_size_free() -> None:
    with sizes_left_free(), torch.no_grad():
        free = ({2: torch.export.Dim.DYNAMIC},)  # an error where it is fixed
        torch.export.export(nn.MaxPool1d(2), (torch.randn(2, 3, 25),), dynamic_shapes=free)


def test_the_way_of_attention_is_put_back() -> None:
    assert mha.get_fastpath_enabled()
    with sizes_left_free():
        assert not mha.get_fastpath_enabled()
    assert mha.get_fastpath_enabled()
