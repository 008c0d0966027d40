"""What is drawn is what the module can be given, and not only what its example shows."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnn_export.module import eager
from rnn_export.module.inspection import inspect_export
from rnn_export.module.reading import inspect_module
from rnn_export.module.sampling import Draw

STEPS, ROWS = 12, 60


class Layer(nn.Module):
    """A recurrent layer over what ``features`` makes of the inputs."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.x, self.h, self.e = nn.Linear(size, 8), nn.Linear(8, 8), nn.Embedding(50, size)

    def features(self, inputs):
        return inputs

    def forward(self, inputs, state):
        outputs = []
        for x_t in self.features(inputs):
            state = torch.tanh(self.x(x_t) + self.h(state))
            outputs.append(state)
        return torch.stack(outputs), state


class Tokens(Layer):
    def features(self, inputs):
        return self.e(inputs) * (inputs != 17)[..., None]


class OneHot(Layer):
    def features(self, inputs):
        return nn.functional.one_hot(inputs, 4).to(self.x.weight.dtype)


class Logarithm(Layer):
    def features(self, inputs):
        return torch.log(inputs)


class Category(Layer):
    def features(self, inputs):
        return inputs + self.e(inputs[..., 0].long())


class Threshold(Layer):
    def features(self, inputs):
        return torch.where(inputs.abs() > 6, 0.0, inputs)


def draw(net: nn.Module, inputs: torch.Tensor) -> Draw:
    subject = inspect_module(net.eval(), (inputs, torch.zeros(inputs.shape[1], 8)))
    return Draw(subject, eager.start(subject, torch.float32))


def test_ids_are_all_that_an_embedding_has() -> None:
    drawn = draw(Tokens(), torch.randint(5, 20, (9, 3))).inputs(STEPS, 300)[0]
    assert set(np.unique(drawn)) == set(range(50))


def test_ids_are_all_that_a_one_hot_code_has() -> None:
    drawn = draw(OneHot(), torch.randint(1, 3, (9, 3))).inputs(STEPS, ROWS)[0]
    assert set(np.unique(drawn)) == set(range(4))


def test_ids_end_in_one_that_the_module_compares_with_or_are_one_id_alone() -> None:
    drawn = draw(Tokens(), torch.randint(5, 17, (9, 3))).inputs(STEPS, ROWS)[0]
    ended = [row for row in drawn.T if (row[-2:] == 17).all() and len(set(row)) > 1]
    alone = [row for row in drawn.T if len(set(row)) == 1]
    assert len(ended) >= 3
    assert len(alone) >= 3


def test_numbers_end_in_zeros_or_are_the_same_again_and_again() -> None:
    drawn = draw(Layer(), torch.randn(9, 3, 4)).inputs(STEPS, ROWS)[0]
    ended = [row for row in np.moveaxis(drawn, 1, 0) if not row[-2:].any() and row[0].any()]
    same = [row for row in np.moveaxis(drawn, 1, 0) if (row == row[0]).all() and row[0].any()]
    assert len(ended) >= 3
    assert len(same) >= 3


def test_the_range_sign_and_whole_numbers_of_a_feature_are_kept() -> None:
    seconds, mel = torch.rand(9, 3) * 86400, torch.rand(9, 3) * 1e-3
    inputs = torch.stack([seconds, mel, torch.randint(2, 5, (9, 3)).float(), -torch.rand(9, 3)], -1)
    drawn = draw(Layer(), inputs).inputs(STEPS, ROWS)[0]
    assert drawn[..., 0].max() > 1e4
    assert drawn[..., 1].max() < 1e-2
    assert set(np.unique(drawn[..., 2])) <= {0, 2, 3, 4}
    assert drawn[..., :2].min() >= 0
    assert drawn[..., 3].max() <= 0


def test_numbers_are_on_both_sides_of_a_constant_that_the_module_compares_with() -> None:
    drawn = np.abs(draw(Threshold(), torch.randn(9, 3, 4)).inputs(STEPS, ROWS)[0])
    assert (drawn > 6).sum() > 10
    assert ((drawn > 2) & (drawn < 6)).sum() > 10


def test_what_the_module_fails_on_or_makes_infinite_is_not_drawn() -> None:
    assert draw(Logarithm(), torch.rand(9, 3, 4) + 0.01).inputs(STEPS, ROWS)[0].min() > 0
    inputs = torch.cat([torch.randint(0, 50, (9, 3, 1)).float(), torch.randn(9, 3, 3)], -1)
    category = draw(Category(), inputs).inputs(STEPS, ROWS)[0][..., 0]
    assert set(np.unique(category)) <= set(range(50))


@pytest.mark.parametrize("example", [torch.zeros(9, 3, 4), torch.ones(9, 3, 4)])
def test_an_example_that_says_nothing_does_not_make_the_draws_say_nothing(example: torch.Tensor) -> None:
    assert draw(Layer(), example).inputs(STEPS, ROWS)[0].std() > 0.3


def test_large_inputs_are_ten_and_a_hundred_times_as_large() -> None:
    drawn = draw(Layer(), torch.randn(9, 3, 4)).large_inputs(STEPS, 4)[0]
    sizes = drawn.std(axis=(0, 2))
    assert (sizes > [5, 50, 5, 50]).all()
    assert (sizes < [20, 200, 20, 200]).all()


def test_a_state_is_like_one_that_is_reached() -> None:
    drawn = draw(Layer(), torch.randn(9, 3, 4)).state(ROWS)[0]
    assert drawn.shape == (ROWS, 8)
    assert 0.2 < drawn.std() < 2


def test_nan_and_infinity_stand_only_where_the_module_takes_them() -> None:
    net, inputs = Category(), torch.rand(7, 3, 4)
    inputs[..., 0] = torch.randint(0, 50, (7, 3))
    drawn = draw(net, inputs)
    for _ in range(10):
        rows = drawn.non_finite_inputs(STEPS, 5)[0]
        assert (~np.isfinite(rows)).sum((0, 2)).tolist() == [1, 1, 1, 0, 0]
        assert np.isfinite(rows[..., 0]).all()


def test_tiny_numbers_are_drawn_where_the_module_tells_them_from_zeros() -> None:
    sizes = [
        np.abs(rows).max() for [rows] in draw(Logarithm(), torch.rand(9, 3, 4) + 0.01).tiny_inputs(STEPS)
    ]
    assert (np.array(sizes) < [1e-7, 1e-12, 1e-30]).all()
    assert (np.array(sizes) > [1e-8, 1e-13, 1e-31]).all()
    assert draw(Layer(), torch.randn(9, 3, 4)).tiny_inputs(STEPS) == []
    assert draw(Tokens(), torch.randint(5, 20, (9, 3))).tiny_inputs(STEPS) == []


class NoEmptyRow(Tokens):
    """Fails on a row of padding alone, as packed sequences do."""

    def features(self, inputs):
        if bool(((inputs != 17).sum(0) == 0).any()):
            raise ValueError("a row of padding")
        return super().features(inputs)


class Masked(nn.Module):
    """Packs by a mask, of which no row may be empty."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        lengths = mask.long().sum(1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def test_a_mask_that_may_have_no_empty_row_is_drawn_without() -> None:
    torch.manual_seed(0)
    args = torch.randn(3, 7, 4), torch.arange(7) < torch.tensor([[7], [6], [5]])
    subject = inspect_export(Masked().eval(), args)
    assert [spec.shape for spec in subject.signature.inputs] == [("batch", "time", 4), ("batch", "time")]
    draw = Draw(subject, eager.start(subject, torch.float32))
    assert all(draw.inputs(4, 5)[1].any(1).all() for _ in range(20))


def test_rows_that_the_module_fails_on_are_others() -> None:
    torch.manual_seed(0)
    subject = inspect_module(NoEmptyRow().eval(), (torch.randint(0, 50, (6, 3)), torch.zeros(3, 8)))
    draw = Draw(subject, eager.start(subject, torch.float32))
    inputs = draw.inputs(4, 8)[0]
    spoilt = inputs.copy()
    spoilt[:, ::2] = 17
    [possible] = draw.possible([spoilt])
    assert np.array_equal(possible[:, 1::2], inputs[:, 1::2])
    assert ((possible != 17).sum(0) > 0).all()
    assert possible.shape == inputs.shape
    [drawn] = draw.possible([np.full((4, 1), 17)])
    assert (drawn != 17).any()
    padded = [(values == 17).any() for values in (draw.inputs(6, 5)[0] for _ in range(20))]
    assert any(padded)  # what it takes of a kind is drawn all the same
