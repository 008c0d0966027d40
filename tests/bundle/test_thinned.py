"""Golden vectors take at most 4 MB, whatever the model, and every check is made of what is kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnn_export
from rnn_export.bundle import golden
from rnn_export.bundle.bundle import Bundle
from rnn_export.bundle.golden import Golden
from rnn_export.bundle.thinned import thinned
from rnn_export.errors import BundleError
from rnn_export.module.inspection import find_streaming
from rnn_export.module.reading import inspect_module
from rnn_export.module.subject import Subject
from rnn_export.verification import grid, tolerance
from rnn_export.verification.sensitivity import unnoticed_weights
from tests.support.cases import ModelCase
from tests.support.exports import Exported

MEGABYTES = 4e6


class Words(nn.Module):
    """Gives a logit for each word of a vocabulary."""

    def __init__(self, words: int, units: int) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(3, units), nn.Linear(units, words)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        y, h = self.gru(x, h)
        return self.head(y), h


def subject(words: int, units: int) -> Subject:
    torch.manual_seed(0)
    example = torch.randn(20, 2, 3), torch.zeros(1, 2, units)
    return find_streaming(inspect_module(Words(words, units).eval(), example))


def written(vectors: Golden, found: Subject, folder: Path) -> int:
    """Write golden vectors, and give their bytes."""
    tolerances = {case.name: [0.1] * len(case.float64) for case in vectors.cases}
    golden.write(folder, vectors, found.signature, tolerances)
    return sum(path.stat().st_size for path in (folder / "golden").iterdir())


@pytest.fixture(scope="module", params=[(8192, 8), pytest.param((50_000, 4), marks=pytest.mark.exhaustive)])
def vocabulary(request: pytest.FixtureRequest) -> tuple[Subject, Golden]:
    found = subject(*request.param)
    return found, thinned(grid.build(found), found.signature)


def test_they_are_small_and_read_as_they_were_written(
    vocabulary: tuple[Subject, Golden], tmp_path: Path
) -> None:
    found, vectors = vocabulary
    assert written(vectors, found, tmp_path) <= MEGABYTES
    back = golden.read(tmp_path, found.signature).cases
    for case, other in zip(vectors.cases, back, strict=True):
        assert case.every == other.every
        for got, want in zip(other.arrays, case.arrays, strict=True):
            assert got.tobytes() == want.tobytes()


def test_all_units_come_in_turn_and_some_runs_are_whole(vocabulary: tuple[Subject, Golden]) -> None:
    _, vectors = vocabulary
    seen = [case.float64[0].any((0, 1)) for case in vectors.cases if not case.is_whole(0)]
    assert np.any(seen, axis=0).mean() > 0.9
    assert any(case.kind == golden.RUN and case.is_whole(0) for case in vectors.cases)
    shapes = {(case.time > 1, case.batch > 1, case.kind) for case in vectors.cases}
    assert len(shapes) >= 5


def test_what_is_wrong_is_still_seen(vocabulary: tuple[Subject, Golden]) -> None:
    found, vectors = vocabulary
    allowed = tolerance.bounds(vectors.cases, found.signature)
    assert unnoticed_weights(found, vectors.cases, allowed) == []
    for case in (case for case in vectors.cases if case.values != golden.NON_FINITE):
        own = case.kept(case.results("float32"))
        assert tolerance.deviation(case, own, allowed[case.name], found.signature).share <= 1
        one_off = [own[0].copy(), own[1]]
        one_off[0].reshape(-1)[0] += 1e-3
        assert tolerance.deviation(case, one_off, allowed[case.name], found.signature).share > 1


def test_of_small_models_all_is_kept(rnn: ModelCase, exported: Exported) -> None:
    vectors = exported(rnn).golden
    assert thinned(vectors, exported(rnn).signature) is vectors


def test_calls_that_are_too_large_are_left_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = torch.randn(9, 2, 2000), torch.zeros(1, 2, 4)
    found = find_streaming(inspect_module(nn.GRU(2000, 4).eval(), example))
    vectors = thinned(grid.build(found), found.signature)
    assert written(vectors, found, tmp_path) <= MEGABYTES
    assert any(case.time > 1 and case.batch > 1 for case in vectors.cases)
    assert {case.kind for case in vectors.cases} == {golden.RUN, golden.STEP}
    assert vectors.cases[0].name.endswith("_initial")


@pytest.fixture
def damaged(rnn: ModelCase, exported: Exported, tmp_path: Path) -> Bundle:
    shutil.copytree(exported(rnn).folder, tmp_path / "bundle")
    return replace(exported(rnn), folder=tmp_path / "bundle")


@pytest.mark.parametrize(
    ("part", "every", "words"),
    [
        ("call", 2, "all numbers of what a call takes"),
        ("float32", 2, "the same numbers of a result in all precisions"),
        ("float64", 0, "every"),
    ],
)
def test_an_index_that_names_other_numbers_is_refused(
    part: str, every: int, words: str, damaged: Bundle
) -> None:
    path = damaged.folder / golden.INDEX
    index = json.loads(path.read_text())
    for place in index["cases"][0][part].values():
        place["every"] = every
    path.write_text(json.dumps(index))
    with pytest.raises(BundleError, match=words):
        golden.read(damaged.folder, damaged.signature)


@pytest.mark.exhaustive
def test_a_bundle_is_verified_with_what_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = torch.randn(20, 2, 3), torch.zeros(1, 2, 8)
    bundle = rnn_export.export(Words(8192, 8).eval(), example, tmp_path / "words")
    assert rnn_export.verify(bundle.folder).passed
    assert sum(path.stat().st_size for path in (bundle.folder / "golden").iterdir()) <= MEGABYTES
