"""A tolerance lets everything pass."""

import re
from pathlib import Path

from tests.bundle.untrusted.attacks import put

TOLERANCE = re.compile(r'("tolerance": {\s*"outputs": )[^,\s]+')
REFUSED = "not finite"


def attack(folder: Path) -> None:
    index = (folder / "golden" / "index.json").read_text()
    put(folder, "golden/index.json", TOLERANCE.sub(r"\g<1>1e999", index, count=1).encode())
