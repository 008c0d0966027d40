"""A guard of a ``.pt2`` is Python, which its loader would run."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got guards_code .*__import__"


def attack(folder: Path) -> None:
    put_pt2(folder, graph={"guards_code": ["__import__('os').system('true') == 0"]})
