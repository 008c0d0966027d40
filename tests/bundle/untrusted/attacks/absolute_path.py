"""A name is that of a file of the system."""

from pathlib import Path

from tests.bundle.untrusted.attacks import edit, facts

REFUSED = "name of a file: expected a path within"


def attack(folder: Path) -> None:
    content = Path("/etc/hostname").read_bytes()
    edit(folder, lambda manifest: manifest["files"].update({"/etc/hostname": facts(content)}))
