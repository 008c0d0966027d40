"""The golden vectors are left out."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit

REFUSED = "is not in the manifest"


def attack(folder: Path) -> None:
    for name in ("index.json", "tensors.bin"):
        (folder / "golden" / name).unlink()
    edit(
        folder, lambda manifest: [manifest["files"].pop(f"golden/{n}") for n in ("index.json", "tensors.bin")]
    )
