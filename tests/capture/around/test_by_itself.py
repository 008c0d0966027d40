"""What a recurrent submodule is by itself: forward, backward, or both ways."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from rnn_export.capture import step
from rnn_export.capture.around import by_itself as module
from rnn_export.capture.around.by_itself import by_itself
from rnn_export.capture.around.calls import Call, calls_of
from rnn_export.capture.around.opaque import Joined, Opaque, Piece, Run, by_program
from rnn_export.capture.roll.rolled import roll
from rnn_export.errors import CaptureError
from rnn_export.module.subject import Subject
from rnn_export.program.program import Program
from tests.support.around_loops import BothEnds, BothWays, Discount, FromLearned, Looking, Loop

AXES = (7, 3), (11, 3), (7, 4)  # time steps and rows
SIZES = (2, 1), (19, 5)


def by_step(subject: Subject) -> tuple[Program, None]:
    rolled = subject if subject.signature.streamable else roll(subject)
    if rolled is None:
        raise CaptureError("it is no loop")
    return replace(step.capture(rolled), signature=rolled.signature), None


def rows_first(steps: int, batch: int) -> Tensor:
    return torch.randn(batch, steps, 4)


def time_first(steps: int, batch: int) -> Tensor:
    return torch.randn(steps, batch, 4)


def made_of(model: nn.Module, draw: Callable[[int, int], Tensor]) -> tuple[Call, Joined]:
    def called(*sizes: int) -> Call:
        return calls_of(model, lambda: model(draw(*sizes)))[0]

    calls = [called(*sizes) for sizes in AXES]
    return calls[0], by_itself(model, [calls], by_step)


KINDS = {
    "forward": (lambda: Loop(4), rows_first, [False]),
    "backward": (lambda: Loop(4, reverse=True), rows_first, [True]),
    "nothing but backward": (Discount, rows_first, [True]),
    "from what was learned": (lambda: FromLearned(4), rows_first, [False]),
    "both ways": (lambda: BothWays(4), rows_first, [False, True]),
    "both ways, and both ends": (lambda: BothEnds(4), time_first, [False, True]),
}


EXHAUSTIVE = "both ways", "both ways, and both ends"  # seconds each


@pytest.mark.several(2)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.exhaustive if name in EXHAUSTIVE else []) for name in KINDS],
)
def test_a_recurrence_is_loops_that_give_what_it_gives(name: str) -> None:
    make, draw, turned = KINDS[name]
    torch.manual_seed(0)
    model = make().eval()
    call, joined = made_of(model, draw)
    assert [any(axis is not None for axis in piece.turned[0]) for piece in joined.pieces] == turned
    opaque = Opaque(model, [(call, joined)], by_program).eval()
    for sizes in SIZES:
        given = draw(*sizes)
        with torch.no_grad():
            torch.testing.assert_close(opaque(given), model(given), atol=1e-5, rtol=0)


def test_what_is_no_loop_over_a_state_is_refused() -> None:
    with pytest.raises(CaptureError, match="Looking is no loop over time steps: it is no loop"):
        made_of(Looking(4).eval(), rows_first)


def test_a_hypothesis_that_fails_in_another_way_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(piece: Piece) -> Run:
        raise ZeroDivisionError("whatever upstream raises")

    monkeypatch.setattr(module, "by_program", run)
    with pytest.raises(CaptureError, match=r"Loop is no loop .* failed: ZeroDivisionError: whatever"):
        made_of(Loop(4).eval(), rows_first)


def test_a_call_of_another_kind_is_refused() -> None:
    model = Loop(4).eval()
    opaque = Opaque(model, [made_of(model, rows_first)], by_program)
    assert opaque.cell is model.cell
    for args, kwargs in (
        ((torch.randn(2, 3, 4), (torch.zeros(2, 6),) * 2), {}),
        ((torch.randn(2, 3, 4),), {"scale": 2}),
        ((torch.randn(2, 3, 4).double(),), {}),
    ):
        with pytest.raises(CaptureError, match="Loop is called in another way than before"):
            opaque(*args, **kwargs)
