"""All calls share one tensor: a small file takes much memory."""

from pathlib import Path

from tests.bundle.untrusted.attacks import Data, edit_index, put

REFUSED = "a place of its own for every tensor"


def attack(folder: Path) -> None:
    def overlap(index: Data) -> None:
        index["cases"] = [{**index["cases"][0], "name": f"case{number}"} for number in range(1000)]
        index["non_finite"] = []

    edit_index(folder, overlap)
    put(folder, "golden/tensors.bin", (folder / "golden" / "tensors.bin").read_bytes()[:4096])
