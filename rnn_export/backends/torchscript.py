"""``model.pt``: the scripted module in a canonical archive."""

from itertools import groupby
from pathlib import Path

import torch

from rnn_export.backends.archive import canonical


def write(scripted: torch.jit.ScriptModule, path: Path) -> None:
    """Save a scripted module, without the debug records.

    Those hold the path of the user's source. Without them the same module gives the same bytes in every
    process and folder, and errors of the TorchScript interpreter quote the compiled code instead.
    """
    path.write_bytes(canonical(scripted.save_to_buffer(), _without_debug))


def _without_debug(name: str, record: bytes) -> bytes | None:
    if name.endswith(".debug_pkl"):
        return None
    return _sort_constants(record) if name.endswith(".py") else record


def _sort_constants(code: bytes) -> bytes:
    """Sort the constants of each class, which upstream lists in the order of a Python set."""
    groups = groupby(code.splitlines(keepends=True), key=lambda line: b" : Final[" in line)
    return b"".join(line for constant, lines in groups for line in (sorted(lines) if constant else lines))
