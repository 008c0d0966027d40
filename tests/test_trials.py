"""The promises of SECURITY.md, tried for a short while; ``scripts/soak.py`` tries them for long."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
from trials import TRIALS, Trial


@pytest.mark.parametrize("trial", TRIALS.values(), ids=lambda trial: trial.name)
def test_a_promise_holds(trial: Trial, figure: Callable[[str], None]) -> None:
    figure(f"{trial.name}: {trial.run(trial.short)}")
