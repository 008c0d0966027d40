"""The graph of a ``.pt2`` is nested too deep."""

from pathlib import Path
from typing import Any

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2, .*nested too deep"


def attack(folder: Path) -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    put_pt2(folder, graph={"range_constraints": deep})
