"""Exports to a disk that is really full, with more and more room.

    python -m tests.support.full_disk FOLDER    # as root

The disk is a file system in memory, where one can be mounted. Besides, files are kept from growing, anywhere.
Prints how many sizes were too small.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rnn_export
from rnn_export.errors import BundleError
from rnn_export.verification import grid
from tests.support.cases import CASES
from tests.support.near import NEAR
from tests.support.quick import FULL, Export, digest, quick_export

SIZE, PAGE = 1 << 20, 4096  # bytes of the disk, and of what it gives away at once
STEP = 1024
TOO_LARGE = "File too large"


def mounted(folder: Path) -> bool:
    """Mount a small disk, which goes with the process's own mounts."""
    line = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    return subprocess.run(line, check=False, capture_output=True).returncode == 0


def refusals(export: Export, old: Path, reason: str, room: Callable[[int], None]) -> int:
    """Give an export a little more room each time, until it succeeds.

    After each error the old bundle has to be as it was, and nothing else there.
    """
    before, tried = digest(old), 0
    while True:
        room(tried)
        try:
            export(old)
        except BundleError as error:
            right = f"{old} cannot be written" in str(error) and reason in str(error)
            others = {path.name for path in old.parent.iterdir()} - {"bundle", "filler"}
            if not right or others or digest(old) != before:
                raise
        else:
            return tried
        tried += 1


def leave_free(disk: Path, size: int) -> None:
    """Fill a disk."""
    (disk / "filler").write_bytes(b"")
    state = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - size))


def main(folder: Path) -> None:
    """Export with more and more room, until there is enough."""
    grid.FAR = NEAR  # two bundles fit on the disk
    case = next(case for case in CASES if case.name == "rnn")
    verified = rnn_export.export(*case.build(), folder / "verified", name=case.name)
    export = quick_export(case, verified, pytest.MonkeyPatch())
    disk = folder / "disk"
    disk.mkdir()
    if mounted(disk):
        old = shutil.copytree(verified.folder, disk / "bundle")
        pages = refusals(export, old, FULL, lambda tried: leave_free(disk, tried * PAGE))
        sys.stdout.write(f"{pages} sizes of a disk\n")
    old = shutil.copytree(verified.folder, folder / "parent" / "bundle")
    sizes = refusals(export, old, TOO_LARGE, lambda tried: keep_below(tried * STEP))
    sys.stdout.write(f"{sizes} sizes of files\n")


def keep_below(size: int) -> None:
    """Keep files from growing larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
