"""A ``.pt`` is a pickle that runs a command, as torch.load took them."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt

REFUSED = "model.pt: .* got "


def attack(folder: Path) -> None:
    put_pt(folder, b"cos\nsystem\n(S'true'\ntR." + b"\0" * 200)
