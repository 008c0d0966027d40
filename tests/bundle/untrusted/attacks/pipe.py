"""A file is a pipe, which nobody writes to."""

import os
from pathlib import Path

REFUSED = "model.h: expected a regular file, got something else"


def attack(folder: Path) -> None:
    path = folder / "model.h"
    path.unlink()
    os.mkfifo(path)
