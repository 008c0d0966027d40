"""The version of the operators in a ``.pt`` is no number."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put_pt, zipped

REFUSED = "model.pt: .* got another version than one number"


def attack(folder: Path) -> None:
    put_pt(folder, zipped(("model/.data/version", b"-1 ../../etc")))
