"""The tensors end in the middle."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "a tensor ends at byte"


def attack(folder: Path) -> None:
    put(folder, "golden/tensors.bin", (folder / "golden" / "tensors.bin").read_bytes()[:1000])
