"""A size of a ``.pt2`` is Python, which SymPy would run."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got expr_str .*__import__"


def attack(folder: Path) -> None:
    size = {"as_expr": {"expr_str": "__import__('os').system('true')", "hint": None}}
    put_pt2(folder, graph={"range_constraints": {"s0": size}})
