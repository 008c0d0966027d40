"""A golden vector of two billion time steps."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit_index

REFUSED = r"expected a tensor of float32 \[2147483647, 1, 16\]"


def attack(folder: Path) -> None:
    edit_index(folder, lambda index: index["cases"][0].update(time=(1 << 31) - 1))
