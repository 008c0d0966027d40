"""Modules put together by a generator: exported right, or refused with a reason that names the true cause.

The right answer is a second implementation in NumPy, which eager PyTorch in float64 agrees with. It is asked
on inputs that the export does not know: padding, stop tokens, zeros, constants, ten times larger, 600 time
steps, 40 rows. One recipe of some kinds in `make test`, two of each in `make test-exhaustive`, 26 of each in
`make test-all`. One by one:

    python -m tests.support.generated.pool KIND NUMBER    # shows a module, and what becomes of it
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rnn_export.errors import ModelError, PassError, VerificationError
from tests.support.generated import check
from tests.support.generated.check import BAD, OUTCOMES
from tests.support.generated.numpy_net import Array
from tests.support.generated.pool import Pool
from tests.support.generated.recipe import KINDS, Recipe, recipe
from tests.support.paths import ROOT

Counted = Callable[[str, Mapping[str, int]], None]

# Every module that ever failed, one a line.
TABLE = ROOT / "tests" / "support" / "generated" / "failed.jsonl"
FAILED = [Recipe.read(json.loads(line)) for line in TABLE.read_text().splitlines()]
OF_EACH = int(os.environ.get("GENERATED_OF_EACH", "2"))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with closing(Pool()) as started:
        yield started


def faults(recipes: Iterable[Recipe], pool: Pool, counted: Counted) -> list[str]:
    """Judge recipes, and tell of those that are no good."""
    counts = Counter(dict.fromkeys(OUTCOMES, 0))
    found: list[str] = []
    for made in recipes:
        verdict = pool.judge(made)
        counts[verdict["outcome"]] += 1
        if verdict["outcome"] in BAD:
            found.append("{outcome}: {recipe}\n    {detail}".format(**verdict))
    counted("generated modules", counts)
    return found


@pytest.mark.several(6)
@pytest.mark.parametrize("kind", KINDS)
def test_a_module_is_exported_right_or_refused(kind: str, pool: Pool, counted: Counted) -> None:
    assert not faults([recipe(kind, 0)], pool, counted)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", KINDS)
def test_many_modules_are_exported_right_or_refused(kind: str, pool: Pool, counted: Counted) -> None:
    found = faults((recipe(kind, number) for number in range(1, OF_EACH)), pool, counted)
    assert not found, "\n".join(found)


@pytest.mark.exhaustive
@pytest.mark.parametrize("made", FAILED, ids=lambda made: f"{made.kind}-{made.number}")
def test_what_failed_once_does_not_fail_again(made: Recipe, pool: Pool, counted: Counted) -> None:
    assert not faults([made], pool, counted)


class Shipped:
    """Runs a module in place of its files."""

    signature = SimpleNamespace(streamable=True, returns_state=False)

    def __init__(self, made: Recipe, model: nn.Module) -> None:
        self.made, self.model = made, model

    def __call__(self, inputs: Array, state: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        outputs, *last = check.eager(self.made, self.model, inputs, [*state])
        return outputs, tuple(last)


@pytest.mark.parametrize(("factor", "outcome"), [(1.0, check.EXPORTED), (1.001, check.WRONG)])
def test_a_weight_that_is_off_is_found(
    factor: float, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe("nothing", 0)

    def export(model: nn.Module, *_: object) -> SimpleNamespace:
        with torch.no_grad():
            next(model.parameters())[3:] *= factor
        monkeypatch.setattr(check.rnn_export, "load", lambda *_, **__: Shipped(made, model))
        return SimpleNamespace(folder=tmp_path)

    monkeypatch.setattr(check.rnn_export, "export", export)
    assert check.judged(made, tmp_path).outcome == outcome


@pytest.mark.parametrize(
    ("kind", "error", "outcome"),
    [
        ("nothing", KeyError("h"), check.UNTYPED),
        ("nothing", PassError("changed"), check.UNTYPED),
        ("nothing", ModelError("no"), check.UNCLEAR),
        ("noise", ModelError("Two calls differ."), check.REFUSED),
        ("noise", VerificationError("Two calls differ."), check.UNCLEAR),
        ("noise", None, check.WRONG),
    ],
)
def test_what_an_export_raises_is_judged(
    kind: str, error: Exception | None, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: object) -> None:
        if error:
            raise error

    monkeypatch.setattr(check.rnn_export, "export", export)
    assert check.judged(recipe(kind, 0), tmp_path).outcome == outcome
