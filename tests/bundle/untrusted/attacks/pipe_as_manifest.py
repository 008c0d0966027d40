"""The manifest is a pipe, which nobody writes to."""

import os
from pathlib import Path

REFUSED = "manifest.json: expected a regular file, got something else"


def attack(folder: Path) -> None:
    path = folder / "manifest.json"
    path.unlink()
    os.mkfifo(path)
