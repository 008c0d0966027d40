"""A name leads out of the folder, to a file that is there."""

from pathlib import Path

from tests.bundle.untrusted.attacks import put

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_text("secret")
    put(folder, "../secret", b"secret")
