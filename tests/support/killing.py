"""Replace a folder, killed at each line of what does it.

    python -m tests.support.killing FOLDER [two-renames]

Prints, for each outcome, how many kills had it. ``two-renames`` is what a system without an exchange does.
"""

import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Container
from pathlib import Path
from types import FrameType
from typing import Any

from rnn_export.bundle import bundle, staging
from rnn_export.bundle.bundle import MANIFEST, staged

TRACED = {staging.__file__, bundle.__file__, shutil.__file__}


def write(target: Path, content: str, *, overwrite: bool = True) -> None:
    """Write what :func:`staged` takes for a bundle, in two files of a folder and a subfolder."""
    with staged(target, overwrite=overwrite) as new:
        (new / MANIFEST).write_text(content)
        (new / "golden").mkdir()
        (new / "golden" / "tensors.bin").write_text(content)


def content(target: Path) -> str:
    """Say what a target holds: the one content of its files, ``none``, or ``mixed``."""
    if not target.exists():
        return "none"
    files = {path.relative_to(target): path.read_text() for path in target.rglob("*") if path.is_file()}
    whole = {Path(MANIFEST), Path("golden/tensors.bin")} == {*files}
    return files[Path(MANIFEST)] if whole and len({*files.values()}) == 1 else "mixed"


def killed(work: Callable[[], object], line: int, traced: Container[str] = TRACED) -> bool:
    """Do something in a process that is killed at a line of some files; say whether it got so far."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    passed = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal passed
        if frame.f_code.co_filename not in traced:
            return None
        if event == "line":
            passed += 1
            if passed == line:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    work()
    os._exit(0)


def main(folder: Path, *, exchange: bool) -> None:
    """Kill at each line, for a name that is free and one that is taken; then the next run has to succeed."""
    os.fsync = lambda _: None  # slow, and nothing to a kill
    if not exchange:
        staging._renameat2 = lambda: None
    target, outcomes = folder / "bundle", Counter[str]()
    for before in ("none", "old"):
        line = 1
        while True:
            shutil.rmtree(target, ignore_errors=True)
            if before == "old":
                write(target, before)
            if not killed(lambda: write(target, "new"), line):
                break
            found = content(target)
            staging.clean(target)
            outcomes[f"{before} {found} {content(target)}"] += 1
            left = [path.name for path in folder.iterdir() if path != target]
            write(target, "next")
            if left or [path.name for path in folder.iterdir()] != ["bundle"] or content(target) != "next":
                sys.exit(f"killed at line {line}: left {left}, {content(target)}")
            line += 1
    sys.stdout.writelines(f"{outcome} {kills}\n" for outcome, kills in sorted(outcomes.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), exchange="two-renames" not in sys.argv)
