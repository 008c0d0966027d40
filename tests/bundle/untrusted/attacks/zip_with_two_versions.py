"""A ``.pt`` says twice which version its operators have: readers may take one or the other."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, zipped

REFUSED = "model.pt: .* got another version than one number"


def attack(folder: Path) -> None:
    put_pt(folder, zipped(("model/version", b"3\n"), ("model/.data/version", b"10\n")))
