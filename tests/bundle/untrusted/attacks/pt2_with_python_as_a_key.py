"""A tensor of a ``.pt2`` is listed under a name like Python."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got a name .*__import__"


def attack(folder: Path) -> None:
    put_pt2(folder, graph={"range_constraints": {"__import__('os')": {}}})
