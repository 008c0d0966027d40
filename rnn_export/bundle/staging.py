"""Write beside the place, and move there in one step: what is written appears whole, or not at all.

A run writes in ``.NAME.xxxxxxxx.partial`` beside its target, where it holds a file locked. The system takes
the lock from a process that is killed, so the next run to the same target knows its folder, and removes it.
"""

import ctypes
import errno
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from rnn_export.errors import RnnExportError

NEW, OLD, LOCK = "new", "old", "lock"  # what lies in a run's folder
SUFFIX = ".partial"
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2  # linux/fcntl.h, linux/fs.h
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REMEDIES = {
    **dict.fromkeys(FULL, "Make room there, or name another folder."),
    errno.ENOENT: "A folder was removed meanwhile. Try again.",
}
WRITABLE = "Name a folder that you may write to."


class NotMadeError(FileNotFoundError):
    """A folder that is there takes no folder, as those of the system under ``/proc`` do not."""


@contextmanager
def explained(target: Path, kind: type[RnnExportError]) -> Iterator[None]:
    """Raise an error of our own for what the system says while a target is written.

    An ``OSError`` that no call of the system made, as that of :mod:`inspect` is, goes through as it is.

    Raises:
        RnnExportError: of that kind.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None and not isinstance(error, shutil.Error):
            raise
        copies = error.args[0] if isinstance(error, shutil.Error) else []  # of copytree: from, to, why
        reason = "; ".join(why for _, _, why in copies[:1]) or error
        remedy = REMEDIES.get(error.errno or 0, WRITABLE)
        if isinstance(error, NotMadeError):
            remedy = WRITABLE  # nothing was removed: no folder can be made there
        file = next((folder for folder in target.parents if folder.is_file()), None)
        if file is not None:
            reason = f"{file} is a file"
        raise kind(f"{target} cannot be written: {reason}. What was there is as it was. {remedy}") from error


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Give a folder beside a target that no other run touches; at the end nothing is left of it.

    What killed runs to the same target left behind is cleaned first. The target's parent is made if it is
    missing, and removed again after an error.

    Raises:
        OSError: the system does not let us.
    """
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clean(target)
        folder, lock = _own(target)
        try:
            yield folder
        finally:
            _remove(folder, lock)
    except BaseException:
        with suppress(OSError):  # it is not empty: somebody else writes there by now
            for folder in missing:
                folder.rmdir()
        raise


def _own(target: Path) -> tuple[Path, BaseFileLock]:
    """Make a folder beside a target, and lock it."""
    while True:
        try:
            folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=SUFFIX, dir=target.parent))
        except FileNotFoundError as error:
            if target.parent.is_dir():
                raise NotMadeError(*error.args) from error
            raise
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except (Timeout, FileNotFoundError, FileExistsError):
            continue  # another run is cleaning: it saw the folder before it was locked, or removed it
        except BaseException:
            _remove(folder, lock)
            raise
        return folder, lock


def clean(target: Path) -> None:
    """Remove what killed runs to a target have left beside it, and put back what they had set aside."""
    name = re.compile(rf"\.{re.escape(target.name)}\.\w{{8}}{re.escape(SUFFIX)}")  # as mkdtemp makes them
    for folder in sorted(target.parent.iterdir()):
        if name.fullmatch(folder.name):
            _clean(folder, target)


def _clean(folder: Path, target: Path) -> None:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError):
        return  # it belongs to a run that goes on, or to another user
    killed_between = (folder / OLD).exists() and (folder / NEW).exists() and not os.path.lexists(target)
    try:
        if killed_between:  # the two renames of _swap
            (folder / OLD).rename(target)
    except OSError:
        lock.release()
        raise
    _remove(folder, lock)


def _remove(folder: Path, lock: BaseFileLock) -> None:
    """Remove a run's folder as far as the system lets us; the next run tries again."""
    for path, _, _ in os.walk(folder):
        with suppress(OSError):  # an old bundle may be read-only
            os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    with suppress(OSError):  # mostly it is gone already; not where a locked file cannot be removed
        folder.rmdir()


def place(new: Path, target: Path, *, overwrite: bool) -> None:
    """Move a folder from its run's own folder to its target, in one step where the system can.

    A kill leaves the old folder or the new one under the name. Where the system lacks the step and the kill
    falls between two, the next run puts the old one back.

    Raises:
        FileExistsError: there is something, and ``overwrite`` is not set.
        OSError: it cannot be moved; what was there is there.
    """
    sync(new)
    try:
        claim(new, target)
    except FileExistsError:
        if not overwrite:
            raise
        _swap(new, target)
    sync_one(target.parent)  # before what was there is removed


def claim(new: Path, target: Path) -> None:
    """Move a file or a folder to a place that has to be free; of two runs at once the first one gets it.

    Raises:
        FileExistsError: there is something.
    """
    if not _rename(new, target, RENAME_NOREPLACE):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        new.rename(target)


def _swap(new: Path, target: Path) -> None:
    """Put a folder in the place of another one, which stays in the run's own folder."""
    if _rename(new, target, RENAME_EXCHANGE):
        return
    old = new.with_name(OLD)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if not os.path.lexists(target):
            old.rename(target)
        raise


def _rename(source: Path, target: Path, flag: int) -> bool:
    """Rename in the way of a flag of Linux; say whether system and file system know it."""
    call = _renameat2()
    if call is None:
        return False
    if call(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


@cache
def _renameat2() -> Any:
    """Find the function of the C library, if there is one."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None


def sync(written: Path) -> None:
    """Have a file, or all of a folder, on the disk before it gets its name.

    A kill does not need this. Without it a power cut can leave the new name with empty files, the old bundle
    gone, and a disk that turns out to be full or broken only when the data get there would go unnoticed.
    """
    for path in [*written.rglob("*"), written] if written.is_dir() else [written]:
        sync_one(path)


def sync_one(path: Path) -> None:
    """Have a file on the disk, or the names in a folder."""
    if path.is_dir():
        with suppress(OSError):  # not every system can open a folder, not every file system sync one
            _flush(path)
    else:
        _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
