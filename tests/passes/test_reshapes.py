"""Random chains of reshapes of the state and of the inputs of a step: the passes end, and change nothing."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rnn_export.backends.onnx import finish
from rnn_export.capture import step
from rnn_export.module.reading import inspect_module
from rnn_export.passes.operators.guard import unguarded
from rnn_export.passes.pipeline import forms_of, optimize
from rnn_export.program.program import run_model

SIZE = 6
# what people call parameters, and what a graph or its C calls something else
NAMES = """
    w x y h i t c n b sum add start step steps out state inputs outputs time batch rows lengths
""".split()  # noqa: SIM905
MOVES = ("None", "squeeze", "transpose", "view", "flatten", "twice")
Move = Callable[[Tensor], Tensor]


def chain(draw: random.Random, shape: list[int], length: int) -> tuple[list[Move], list[int]]:
    """Draw reshapes of a tensor, the batch in whose shape is written as -1; give them and the new shape."""
    moves: list[Move] = []
    for _ in range(length):
        kind = draw.choice(MOVES)
        axis, ones = draw.randrange(len(shape) + 1), [a for a, size in enumerate(shape) if size == 1]
        if kind == "None" and len(shape) < 5:
            moves.append(lambda value, axis=axis: value[(slice(None),) * axis + (None,)])
            shape = [*shape[:axis], 1, *shape[axis:]]
        elif kind == "squeeze" and ones:
            axis = draw.choice(ones)
            moves.append(lambda value, axis=axis: value.squeeze(axis))
            shape = [*shape[:axis], *shape[axis + 1 :]]
        elif kind == "transpose":
            first, second = draw.randrange(len(shape)), draw.randrange(len(shape))
            moves.append(lambda value, first=first, second=second: value.transpose(first, second))
            shape[first], shape[second] = shape[second], shape[first]
        elif kind == "view" and shape[0] == -1:
            shape = [-1, *draw.choice(([2, 3], [3, 1, 2], [1, 6], [6], [1, 1, 6]))]
            moves.append(lambda value, rest=tuple(shape[1:]): value.reshape(value.shape[0], *rest))
        elif kind == "flatten" and shape[0] == -1:
            moves.append(lambda value: value.flatten(1))
            shape = [-1, SIZE]
        elif kind == "twice" and len(shape) < 4:
            moves += [
                lambda value: value.unsqueeze(0).unsqueeze(0),
                lambda value: value.squeeze(0).squeeze(0),
            ]
    return moves, shape


def as_rows(value: Tensor, shape: list[int]) -> Tensor:
    return value.movedim(shape.index(-1), 0).flatten(1)


class Reshaped(nn.Module):
    """An RNN whose inputs and state take other shapes on their way; its state has one of these shapes."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.names = draw.sample(NAMES, 3)
        torch.manual_seed(seed)
        for name, sizes in zip(self.names, ((SIZE, SIZE), (SIZE, SIZE), (SIZE,)), strict=True):
            setattr(self, name, nn.Parameter(torch.randn(sizes) / 3))
        self.of_x, self.shape_of_x = chain(draw, [-1, SIZE], draw.randrange(6))
        ones = [draw.randrange(3) for _ in range(2)]
        self.shape_of_state = [*[1] * ones[0], -1, *[1] * ones[1], SIZE]
        self.of_state, self.reshaped = chain(draw, [*self.shape_of_state], draw.randrange(6))

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        W, R, bias = (getattr(self, name) for name in self.names)
        outputs = []
        for value in inputs:
            for move in self.of_x:
                value = move(value)  # noqa: PLW2901
            for move in self.of_state:
                state = move(state)
            rows = torch.tanh(as_rows(value, self.shape_of_x) @ W + as_rows(state, self.reshaped) @ R + bias)
            state = rows.reshape([rows.shape[0] if size == -1 else size for size in self.shape_of_state])
            outputs.append(rows)
        return torch.stack(outputs), state


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in range(6, 150))]
)
def test_passes_end_and_change_nothing(seed: int) -> None:
    model = Reshaped(seed)
    state = torch.zeros([2 if size == -1 else size for size in model.shape_of_state])
    subject = inspect_module(model, (torch.randn(4, 2, SIZE), state))
    forms = forms_of(optimize(step.capture(subject)))
    x = torch.randn(5, 3, SIZE)
    h = torch.randn([3 if size == -1 else size for size in model.shape_of_state])
    for form, program in forms.items():
        file = finish(program.copy().model, subject.signature, "net", {}, prefix="model.")
        results = run_model(file, {"inputs": x.numpy(), "state_0": h.numpy()}, ["outputs", "state_0_out"])
        for got, want in zip(results, model(x, h), strict=True):
            torch.testing.assert_close(torch.from_numpy(got), want, rtol=1e-5, atol=1e-5, msg=form)


class Squeezed(nn.Module):
    """The state of one layer and one direction: its axes are dropped one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(3, 4), nn.Linear(4, 4)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state, outputs = state.squeeze(0).squeeze(0), []
        for value in inputs:
            state = torch.tanh(self.inner(value) + self.outer(state))
            outputs.append(state)
        return torch.stack(outputs), state[None, None]


class Stepwise(nn.Module):
    """A layer of torch.nn that is called on one time step after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(4, 5), nn.Linear(5, 2)

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for t in range(inputs.shape[0]):
            value, state = self.layer(inputs[t : t + 1], state)
            outputs.append(self.head(value[0]))
        return torch.stack(outputs), state


def test_a_state_that_lacks_two_axes_in_the_step_is_one_of_an_operator() -> None:
    subject = inspect_module(Squeezed(), (torch.randn(4, 2, 3), torch.zeros(1, 1, 2, 4)))
    forms = forms_of(optimize(step.capture(subject)))
    assert [node.op_type for node in unguarded(forms["operator"].model).graph].count("RNN") == 1


def test_a_layer_called_on_single_time_steps() -> None:
    model = Stepwise()
    subject = inspect_module(model, (torch.randn(4, 2, 4), torch.zeros(1, 2, 5)))
    x, h = torch.randn(5, 3, 4), torch.randn(1, 3, 5)
    for program in forms_of(optimize(step.capture(subject))).values():
        found = program.run({"inputs": x.numpy(), "state_0": h.numpy()})
        for got, want in zip(found.values(), model(x, h), strict=True):
            torch.testing.assert_close(torch.from_numpy(got), want)
