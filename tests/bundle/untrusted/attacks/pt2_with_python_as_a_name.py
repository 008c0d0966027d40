"""A node of a ``.pt2`` is called like Python, of which a function is made."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt2

REFUSED = "model.pt2: .*got name .*__import__"


def attack(folder: Path) -> None:
    put_pt2(folder, name="y = __import__('os').system('true')")
