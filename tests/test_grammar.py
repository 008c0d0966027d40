"""Random models of layers, wrappings and calls: exported right, or refused in this package's words."""

from pathlib import Path

import pytest

from tests.support.grammar_check import EXPORTED, REFUSED, judge

MODELS, EVERY_DAY = 300, (0, 1)
TABLE = [
    pytest.param(number, id=str(number), marks=[] if number in EVERY_DAY else pytest.mark.exhaustive)
    for number in range(MODELS)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", TABLE)
def test_a_random_model_is_exported_right_or_refused(number: int, tmp_path: Path) -> None:
    outcome, detail = judge(number, tmp_path / "b")
    assert outcome in (EXPORTED, REFUSED), detail
